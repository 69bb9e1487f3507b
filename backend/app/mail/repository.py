"""All SQL of the room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.models import Job, JobEffect, MailSuppression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession


async def is_suppressed(session: AsyncSession, address: str) -> bool:
    return bool(await session.scalar(select(exists().where(MailSuppression.address == address))))


async def suppress(session: AsyncSession, address: str, reason: str, job_id: UUID | None) -> None:
    """An address that is there keeps its first reason."""
    values = {"address": address, "reason": reason, "job_id": job_id}
    await session.execute(insert(MailSuppression).values(values).on_conflict_do_nothing())


async def allow(session: AsyncSession, address: str) -> bool:
    gone = delete(MailSuppression).where(MailSuppression.address == address).returning(MailSuppression.address)
    return await session.scalar(gone) is not None


async def suppressions(session: AsyncSession) -> Sequence[MailSuppression]:
    return (await session.scalars(select(MailSuppression).order_by(MailSuppression.address))).all()


async def args_of_parent(session: AsyncSession, job_id: UUID) -> dict[str, Any] | None:
    parent = aliased(Job)
    return await session.scalar(select(parent.args).join(Job, Job.parent_id == parent.id).where(Job.id == job_id))


async def has_effect(session: AsyncSession, job_id: UUID, key: str) -> bool:
    found = exists().where(JobEffect.job_id == job_id, JobEffect.effect_key == key)
    return bool(await session.scalar(select(found)))
