"""All SQL of the room. `owner_id` null sees every job."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, DateTime, Text, Update, Uuid, any_, bindparam, case, func, null, or_, select, update

from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import Job
from app.web.listing import Listing

_j = Job.__table__.c
SHOWN = (
    "id", "kind", "queue", "state", "attempt", "max_attempts", "progress", "result", "errors",
    "workspace_id", "created_by", "parent_id", "run_at", "deadline_at", "cancel_requested_at",
    "created_at", "started_at", "finished_at",
)  # fmt: skip
_COLUMNS = [_j[name] for name in SHOWN]
_OWNER = bindparam("owner_id", type_=Uuid())
_ONE = (_j.id == bindparam("job_id", type_=Uuid()), or_(_OWNER.is_(None), _j.created_by == _OWNER))


def _any_of(column: Any, name: str) -> Any:
    wanted = bindparam(name, type_=ARRAY(Text))
    return or_(func.cardinality(wanted) == 0, column == any_(wanted))


_PARENT = bindparam("parent_id", type_=Uuid())
_MINE = select(*_COLUMNS).where(
    _j.created_by == _OWNER,
    *(_any_of(_j[name], f"{name}s") for name in ("kind", "state", "queue")),
    or_(_PARENT.is_(None), _j.parent_id == _PARENT),
)
_KEYS = [Key("created_at", _j.created_at, _j.created_at, DateTime(timezone=True)), Key("id", _j.id, _j.id, Uuid())]

FIND = Statement(select(*_COLUMNS).where(*_ONE))
MINE = Listing("jobs", _MINE, _KEYS, "-created_at")


def _waiting(then: Any, otherwise: Any) -> Any:
    return case((_j.state == "running", otherwise), else_=then)


def _returning(statement: Update) -> Statement:
    return Statement(statement.returning(*_COLUMNS))


# One that waits is cancelled here and now; one that runs is asked, by the column that its worker reads.
CANCEL = _returning(
    update(Job)
    .where(*_ONE, _j.finished_at.is_(None))
    .values(
        cancel_requested_at=func.coalesce(_j.cancel_requested_at, func.now()),
        state=_waiting("cancelled", _j.state),
        finished_at=_waiting(func.now(), _j.finished_at),
    )
)

RETRY = _returning(
    update(Job)
    .where(*_ONE, _j.state == "discarded")
    .values(
        state="available", attempt=0, deaths=0, run_at=func.now(), finished_at=null(), result=null(), progress=null(),
        cancel_requested_at=null(), deadline_at=null(),
    )
)  # fmt: skip
