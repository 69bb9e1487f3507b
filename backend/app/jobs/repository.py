"""All SQL of the room. `owner_id` null sees every job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    DateTime,
    Text,
    Update,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    null,
    or_,
    select,
    update,
)  # fmt: skip

from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import Job, User
from app.web.listing import Listing

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_j = Job.__table__.c
SHOWN = (
    "id", "kind", "queue", "state", "attempt", "max_attempts", "progress", "result", "errors",
    "workspace_id", "created_by", "parent_id", "run_at", "deadline_at", "cancel_requested_at",
    "created_at", "started_at", "finished_at",
)  # fmt: skip
_COLUMNS = [_j[name] for name in SHOWN]
_OWNER = bindparam("owner_id", type_=Uuid())
_JOB = bindparam("job_id", type_=Uuid())
_OWNED = or_(_OWNER.is_(None), _j.created_by == _OWNER)
_child = Job.__table__.alias("child").c


def _any_of(column: Any, name: str) -> Any:
    wanted = bindparam(name, type_=ARRAY(Text))
    return or_(func.cardinality(wanted) == 0, column == any_(wanted))


_PARENT = bindparam("parent_id", type_=Uuid())
_SINCE = bindparam("since", type_=DateTime(timezone=True))
_WORKSPACE = bindparam("workspace_id", type_=Uuid())
_LISTED = select(*_COLUMNS).where(
    *(_any_of(_j[name], f"{name}s") for name in ("kind", "state", "queue")),
    or_(_PARENT.is_(None), _j.parent_id == _PARENT),
    or_(_SINCE.is_(None), _j.created_at >= _SINCE),
)
_KEYS = [Key("created_at", _j.created_at, _j.created_at, DateTime(timezone=True)), Key("id", _j.id, _j.id, Uuid())]

FIND = Statement(select(*_COLUMNS).where(_j.id == _JOB, _OWNED))
MINE = Listing("jobs", _LISTED.where(_j.created_by == _OWNER), _KEYS, "-created_at")
ALL = Listing(
    "all jobs", _LISTED.where(_OWNED, or_(_WORKSPACE.is_(None), _j.workspace_id == _WORKSPACE)), _KEYS, "-created_at"
)

ASKED_FOR = select(func.count(), func.min(_j.finished_at)).where(
    _j.created_by == _OWNER, _j.kind == bindparam("kind"), _j.schedule_id.is_(None)
)
"""How many jobs of a kind somebody has, those of schedules aside, and when the first of them ended."""


async def lock_owner(session: AsyncSession, user_id: UUID) -> None:
    """Held against other changes until the transaction ends; not against rows that refer to the user."""
    await session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _waiting(then: Any, otherwise: Any) -> Any:
    return case((_j.state == "running", otherwise), else_=then)


def _changing(change: Update) -> Statement:
    """Changes a job, and others with it; the answer is the one that was named."""
    changed = change.returning(*_COLUMNS).cte("changed")
    return Statement(select(changed).where(changed.c.id == _JOB))


_IS_PARENT = exists().where(_child.parent_id == _j.id).correlate(Job.__table__)
_AT_ONCE = case((and_(_j.state == "running", _j.lease_token.is_(None)), func.now()), else_=_j.lease_until)

# One that waits is cancelled here and now; one that runs is asked, by the column that its worker reads.
CANCEL = _changing(
    update(Job)
    .where(or_(_j.id == _JOB, _j.parent_id == _JOB), _OWNED, _j.finished_at.is_(None))
    .values(
        cancel_requested_at=func.coalesce(_j.cancel_requested_at, func.now()),
        state=_waiting("cancelled", _j.state),
        finished_at=_waiting(func.now(), _j.finished_at),
        lease_until=_AT_ONCE,
    )
)

# With a parent its discarded children; with a child its parent, who waits for it again.
_PARENT_OF_IT = select(_child.parent_id).where(_child.id == _JOB, _child.state == "discarded").scalar_subquery()
RETRY = _changing(
    update(Job)
    .where(or_(_j.id == _JOB, _j.parent_id == _JOB, _j.id == _PARENT_OF_IT), _OWNED, _j.state == "discarded")
    .values(
        state=case((_IS_PARENT, "running"), else_="available"), lease_until=case((_IS_PARENT, func.now())),
        attempt=0, deaths=0, run_at=func.now(), finished_at=null(), result=null(), progress=null(),
        cancel_requested_at=null(), deadline_at=null(),
    )
)  # fmt: skip
