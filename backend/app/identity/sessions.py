"""Sign-ins: begun, continued by rotation, listed and ended. Each is a row that decides whether its tokens count."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from app.identity import repository
from app.identity.tokens import digest
from app.kit.clock import utc_now
from app.kit.ids import new_id
from app.models import Session

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.identity.tokens import RefreshTokens
    from app.infra.database import Database
    from app.infra.work import Work
    from app.kit.pagination import CursorCodec
    from app.web.listing import ListQuery

log = structlog.get_logger()

GRACE = timedelta(seconds=30)
"""How long a rotated refresh token still gets its successor: for a client that lost the answer."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A session with the refresh token that continues it."""

    session_id: UUID
    user_id: UUID
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Device:
    """What a sign-in looks like to its owner: where from, and what the client calls itself."""

    address: str
    user_agent: str | None


def begin(session: AsyncSession, refresh: RefreshTokens, user_id: UUID, device: Device, lifetime: timedelta) -> SignIn:
    """A new session that ends after `lifetime` without use."""
    now = utc_now()
    session_id = new_id()
    token = refresh.new(session_id)
    session.add(
        Session(
            id=session_id,
            user_id=user_id,
            refresh_hash=digest(token),
            user_agent=device.user_agent,
            address=device.address,
            last_used_at=now,
            expires_at=now + lifetime,
        )
    )
    return SignIn(session_id, user_id, token)


async def rotate(session: AsyncSession, refresh: RefreshTokens, token: str, lifetime: timedelta) -> SignIn | None:
    """The session continued with the token's successor, the same one however often it is asked for within 30 seconds.

    None refuses, and is to be committed: a token that was rotated before is a sign of theft, and has ended its session.
    """
    session_id = refresh.session_of(token)
    found = None if session_id is None else await repository.locked(session, session_id)
    if found is None:
        return None
    row, user_is_active = found
    now = utc_now()
    if row.revoked_at is not None or row.expires_at <= now or not user_is_active:
        return None
    presented = digest(token)
    if hmac.compare_digest(presented, row.refresh_hash):
        successor = refresh.successors(token)[0]
        row.previous_hash, row.refresh_hash, row.rotated_at = presented, digest(successor), now
        row.last_used_at, row.expires_at = now, now + lifetime
        return SignIn(row.id, row.user_id, successor)
    if row.rotated_at is not None and presented == row.previous_hash and now - row.rotated_at <= GRACE:
        known = [one for one in refresh.successors(token) if digest(one) == row.refresh_hash]
        return SignIn(row.id, row.user_id, known[0]) if known else None
    row.revoked_at = now
    log.warning("refresh_token_reused", session_id=str(row.id), user_id=str(row.user_id))
    return None


async def page(work: Work, cursors: CursorCodec, query: ListQuery, user_id: UUID, current: UUID) -> dict[str, Any]:
    """A page of the user's live sessions; `current` is marked."""
    filters = {"owner": user_id, "now": utc_now()}
    found = await repository.SESSIONS.page(work, cursors, query, filters, user_id)
    for item in found["items"]:
        item["current"] = item["id"] == current
    return found


async def end(database: Database, session_id: UUID) -> None:
    await database.fetch(repository.END, {"one": session_id, "now": utc_now()})


async def end_of_user(database: Database, user_id: UUID, session_id: UUID) -> bool:
    """Whether it was a live session of this user."""
    params = {"owner": user_id, "one": session_id, "now": utc_now()}
    return bool(await database.fetch(repository.END_OF_USER, params))


async def end_all(database: Database, user_id: UUID) -> list[UUID]:
    """The sessions that this ended."""
    rows = await database.fetch(repository.END_ALL, {"owner": user_id, "now": utc_now()})
    return [row["id"] for row in rows]


async def end_others(session: AsyncSession, user_id: UUID, keep: UUID) -> list[UUID]:
    """The sessions that this ended: all of the user's but one."""
    params = {"owner": user_id, "one": keep, "now": utc_now()}
    return list((await session.execute(repository.END_OTHERS, params)).scalars())
