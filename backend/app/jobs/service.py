from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.jobs import repository
from app.jobs.errors import JobEnded, JobKeyTaken, JobNotDiscarded
from app.kit.errors import NotFound
from app.worker.enqueuing import announce

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.statements import Statement
    from app.infra.work import Work
    from app.jobs.schemas import JobQuery
    from app.kit.pagination import CursorCodec

# `owner_id` is whose jobs count; None is an operator, who sees all.


async def page(work: Work, cursors: CursorCodec, query: JobQuery, owner_id: UUID) -> dict[str, Any]:
    filters = {"kinds": query.kind, "states": query.state, "queues": query.queue, "parent_id": query.parent_id}
    return await repository.MINE.page(work, cursors, query, {**filters, "owner_id": owner_id}, owner_id)


async def get(work: Work, owner_id: UUID | None, job_id: UUID) -> Mapping[str, Any]:
    rows = await work.fetch(repository.FIND, {"job_id": job_id, "owner_id": owner_id})
    if not rows:
        raise NotFound
    return dict(rows[0])


async def cancel(work: Work, owner_id: UUID | None, job_id: UUID) -> Mapping[str, Any]:
    """A waiting job is cancelled at once, a running one is asked to stop; a cancelled one stays so. So are children.

    Raises NotFound, or JobEnded for one that came to another end.
    """
    rows = await work.fetch(repository.CANCEL, {"job_id": job_id, "owner_id": owner_id})
    if rows:
        return dict(rows[0])
    job = await get(work, owner_id, job_id)
    if job["state"] != "cancelled":
        raise JobEnded
    return job


async def retry(session: AsyncSession, owner_id: UUID | None, job_id: UUID) -> Mapping[str, Any]:
    """Makes a discarded job available again, with all its attempts before it; its errors stay.

    A parent waits for its children again, of whom the discarded ones are retried.

    Raises NotFound, JobNotDiscarded, or JobKeyTaken when its unique key is in use by now.
    """
    params = {"job_id": job_id, "owner_id": owner_id}
    try:
        async with session.begin_nested():
            job = await _one(session, repository.RETRY, params)
    except IntegrityError:
        raise JobKeyTaken from None
    if job is not None:
        if job["state"] == "available":  # a parent's children are announced by the reconciler
            announce(session, job["queue"])
        return job
    if await _one(session, repository.FIND, params) is None:
        raise NotFound
    raise JobNotDiscarded


async def _one(session: AsyncSession, statement: Statement, params: Mapping[str, Any]) -> dict[str, Any] | None:
    row = (await session.execute(statement.executable, params)).mappings().one_or_none()
    return None if row is None else dict(row)
