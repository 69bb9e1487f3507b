"""Who gets no mail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.mail import repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.models import MailSuppression

# Servers may tell `Ada@` from `ada@`, but none is known to: whoever wants no mail at one wants none at the other.


async def is_suppressed(session: AsyncSession, address: str) -> bool:
    return await repository.is_suppressed(session, address.lower())


async def suppress(session: AsyncSession, address: str, reason: str, job_id: UUID | None = None) -> None:
    """No more mail goes to the address. One that is there keeps its first reason."""
    await repository.suppress(session, address.lower(), reason, job_id)


async def allow(session: AsyncSession, address: str) -> bool:
    """Mail goes to the address again; False where nothing kept it from that."""
    return await repository.allow(session, address.lower())


async def suppressions(session: AsyncSession) -> Sequence[MailSuppression]:
    """All of them, by address."""
    return await repository.suppressions(session)
