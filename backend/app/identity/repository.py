"""All SQL about sessions and failed sign-ins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    DateTime,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import LoginFailure, Session, User, Workspace, WorkspaceMember
from app.web.listing import Listing

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_now = bindparam("now", type_=DateTime(timezone=True))
# Not named like their columns: SQLAlchemy keeps those names for the values that an UPDATE or INSERT sets.
_one = bindparam("one", type_=Uuid)
_owner = bindparam("owner", type_=Uuid)
_live = and_(Session.revoked_at.is_(None), Session.expires_at > _now)

STATE = Statement(
    select(
        Session.user_id,
        User.is_superuser,
        WorkspaceMember.workspace_id,
        WorkspaceMember.role,
        (Workspace.personal_to == User.id).label("is_personal"),
    )
    .join(User, User.id == Session.user_id)
    .outerjoin(WorkspaceMember, WorkspaceMember.user_id == User.id)
    .outerjoin(Workspace, Workspace.id == WorkspaceMember.workspace_id)
    .where(Session.id == _one, _live, User.is_active)
)
"""One row for each workspace of the session's user, or one without; none when the session does not count."""

_shown = (
    Session.id,
    Session.user_agent,
    Session.address,
    Session.created_at,
    Session.last_used_at,
    Session.expires_at,
)
SESSIONS = Listing(
    "sessions",
    select(*_shown).where(Session.user_id == _owner, _live),
    [
        Key("created_at", Session.created_at.expression, Session.created_at.expression, DateTime(timezone=True)),
        Key("last_used_at", Session.last_used_at.expression, Session.last_used_at.expression, DateTime(timezone=True)),
        Key("id", Session.id.expression, Session.id.expression, Uuid()),
    ],
    "-created_at",
)
"""A user's live sessions."""

_end = update(Session).values(revoked_at=_now).where(Session.revoked_at.is_(None)).returning(Session.id)
END = Statement(_end.where(Session.id == _one))
END_OF_USER = Statement(_end.where(Session.id == _one, Session.user_id == _owner, Session.expires_at > _now))
END_ALL = Statement(_end.where(Session.user_id == _owner))
END_OTHERS = _end.where(Session.user_id == _owner, Session.id != _one)

_identifier = bindparam("of_identifier", type_=LargeBinary)
_account = bindparam("of_account", type_=LargeBinary)
_device = bindparam("on_device", type_=Text)

BLOCKED_UNTIL = Statement(
    select(func.max(LoginFailure.blocked_until).label("blocked_until")).where(
        LoginFailure.account == _account,
        LoginFailure.device == _device,
    )
)

_count = LoginFailure.failures + 1
_over = _count - bindparam("free", type_=Integer)
_seconds = bindparam("first_delay", type_=Integer) * func.power(2, func.least(_over, 30))
_delay = func.make_interval(0, 0, 0, 0, 0, 0, _seconds)
COUNT_FAILURE = Statement(
    insert(LoginFailure)
    .values(
        identifier=_identifier,
        device=_device,
        account=_account,
        failures=1,
        last_failed_at=_now,
    )
    .on_conflict_do_update(
        index_elements=["identifier", "device"],
        set_={"failures": _count, "last_failed_at": _now, "blocked_until": case((_over >= 0, _now + _delay))},
        where=or_(LoginFailure.blocked_until.is_(None), LoginFailure.blocked_until <= _now),
    )
    .returning(LoginFailure.failures)
)
"""Counts a failure and sets the wait; no row when the identifier is blocked already."""

FORGET_FAILURES = (
    delete(LoginFailure)
    .where(
        LoginFailure.identifier == _identifier,
        LoginFailure.device == _device,
    )
    .returning(LoginFailure.blocked_until)
)


async def locked(session: AsyncSession, session_id: UUID) -> tuple[Session, bool] | None:
    """The session, its row locked until the transaction ends, and whether its user is active."""
    query = (
        select(Session, User.is_active)
        .join(User, User.id == Session.user_id)
        .where(Session.id == session_id)
        .with_for_update(of=Session)
    )
    found = (await session.execute(query)).one_or_none()
    return None if found is None else (found[0], found[1])
