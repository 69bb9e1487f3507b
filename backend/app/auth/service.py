"""The rules of accounts. Nothing here commits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from app.access.service import create_personal_workspace
from app.auth import repository
from app.auth.errors import InvalidCredentials
from app.identity import sessions
from app.identity.password_rules import require_acceptable
from app.identity.throttle import canonical
from app.kit.clock import utc_now
from app.kit.errors import invalid
from app.kit.ids import new_id
from app.projects.service import create_inbox

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.identity.parts import Identity
    from app.identity.sessions import Device, SignIn
    from app.identity.throttle import Attempt
    from app.infra.database import Database
    from app.infra.settings import Settings
    from app.models import User


async def hash_new_password(
    identity: Identity, settings: Settings, password: str, *, email: str, pointer: str = "/password"
) -> str:
    """The hash of a password that somebody chose. Raises InvalidInput with what is wrong with it."""
    require_acceptable(password, email=email, min_length=settings.password_min_length, pointer=pointer)
    return await identity.hasher.hash(password)


async def create_account(
    session: AsyncSession, *, email: str, password_hash: str, name: str | None = None, is_superuser: bool = False
) -> User | None:
    """A user with a personal workspace and an inbox in it; None when the address is taken."""
    fields = {"email": email, "password_hash": password_hash, "name": name, "is_superuser": is_superuser}
    user = await repository.insert_user(session, {"id": new_id(), **fields})
    if user is not None:
        workspace = await create_personal_workspace(session, user)
        await create_inbox(session, workspace.id, user.id)
    return user


async def check_password(
    database: Database, identity: Identity, email: str, password: str, address: str
) -> tuple[UUID, Attempt]:
    """Whose password it is, with the attempt to be closed in the transaction of what it was for.

    Raises InvalidCredentials or TooManyFailures, after the same work whatever the cause.
    """
    params = {"email": canonical(email), "address": address}
    rows = await database.fetch(repository.CREDENTIALS, params, retry=True)
    found: Mapping[str, Any] = rows[0] if rows else {"id": None, "is_active": False, "knows_device": False}
    attempt = await identity.throttle.admit(email, address if found["knows_device"] else "")
    password_hash = found["password_hash"] if found["is_active"] else None
    if not await identity.hasher.verify(password, password_hash):
        await identity.throttle.failed(attempt)
        raise InvalidCredentials
    return found["id"], attempt


async def sign_in(
    session: AsyncSession, identity: Identity, settings: Settings, user_id: UUID, attempt: Attempt, device: Device
) -> SignIn:
    """Begins a session for a checked password. Raises TooManyFailures."""
    await identity.throttle.succeeded(session, attempt)
    return sessions.begin(session, identity.refresh_tokens, user_id, device, lifetime(settings))


def lifetime(settings: Settings) -> timedelta:
    """How long a session lasts without use."""
    return timedelta(days=settings.refresh_token_days)


def update_profile(user: User, fields: Mapping[str, Any]) -> User:
    """`user` is locked. Fields that are as they were make no new version."""
    changed = {name: value for name, value in fields.items() if getattr(user, name) != value}
    for name, value in changed.items():
        setattr(user, name, value)
    if changed:
        user.version += 1
        user.updated_at = utc_now()
    return user


async def confirm_password(
    database: Database, identity: Identity, user_id: UUID, password: str, address: str
) -> tuple[str, Attempt]:
    """The user's e-mail address, once the password was right. Raises InvalidInput (it was not) or TooManyFailures."""
    async with database.session() as session:
        email = (await repository.user(session, user_id)).email
    try:
        _, attempt = await check_password(database, identity, email, password, address)
    except InvalidCredentials:
        raise invalid("/current_password", "wrong_password", "This is not your current password") from None
    return email, attempt


async def change_password(
    session: AsyncSession, identity: Identity, attempt: Attempt, *, user_id: UUID, password_hash: str, keep: UUID
) -> list[UUID]:
    """Sets the password and ends every session but `keep`: those that ended. Raises TooManyFailures."""
    await identity.throttle.succeeded(session, attempt)
    await repository.set_password(session, user_id, password_hash)
    return await sessions.end_others(session, user_id, keep)
