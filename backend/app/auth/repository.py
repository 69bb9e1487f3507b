"""All SQL about users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.infra.statements import Statement
from app.models import Session, User

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_knows_device = exists().where(Session.user_id == User.id, Session.address == bindparam("address", type_=Text))
CREDENTIALS = Statement(
    select(User.id, User.password_hash, User.is_active, _knows_device.label("knows_device")).where(
        func.lower(User.email) == func.lower(bindparam("email", type_=Text))
    )
)


async def insert_user(session: AsyncSession, values: Mapping[str, Any]) -> User | None:
    """None when the address is taken, by a transaction that runs at the same time too."""
    return await session.scalar(insert(User).values(**values).on_conflict_do_nothing().returning(User))


async def user(session: AsyncSession, user_id: UUID) -> User:
    return (await session.execute(select(User).where(User.id == user_id))).scalar_one()


async def locked_user(session: AsyncSession, user_id: UUID) -> User:
    """The user, held against other changes of it; not against rows that refer to it."""
    return (await session.execute(select(User).where(User.id == user_id).with_for_update(key_share=True))).scalar_one()


async def set_password(session: AsyncSession, user_id: UUID, password_hash: str) -> None:
    await session.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))
