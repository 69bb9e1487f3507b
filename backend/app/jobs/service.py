from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.files.service import find_file
from app.jobs import repository
from app.jobs.errors import JobEnded, JobKeyTaken, JobNotDiscarded, JobNotEnded, JobWithoutResult, TooManyJobs
from app.jobs.schemas import shown
from app.kit.clock import utc_now
from app.kit.errors import NotFound
from app.models.job import FINAL_STATES
from app.worker.enqueuing import announce

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.statements import Statement
    from app.infra.work import Work
    from app.jobs.schemas import AnyJobQuery, JobQuery
    from app.kit.pagination import CursorCodec
    from app.web.listing import Listing
    from app.worker.kinds import JobArgs

_LIVE_SECONDS = 60
"""When to ask again where none has ended yet."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a handler returned, and the row of the file where `file_id` in it names one."""

    value: dict[str, Any]
    file: Mapping[str, Any] | None = None


async def check_quota(session: AsyncSession, user_id: UUID, kind: type[JobArgs], limit: int) -> None:
    """Raises TooManyJobs where somebody has so many jobs of the kind, live or kept, those of schedules aside."""
    found = await session.execute(repository.ASKED_FOR, {"owner_id": user_id, "kind": kind.kind})
    count, oldest = found.one()
    if count >= limit:
        wait = (oldest + kind.retention - utc_now()).total_seconds() if oldest else _LIVE_SECONDS
        raise TooManyJobs(f"One person may have {limit} jobs of {kind.kind}", retry_after=math.ceil(wait))


async def take_quota(session: AsyncSession, user_id: UUID, kind: type[JobArgs], limit: int) -> None:
    """As `check_quota`, in the transaction that enqueues the job; others of the same person wait for its end."""
    await repository.lock_owner(session, user_id)
    await check_quota(session, user_id, kind, limit)


# `owner_id` is whose jobs count; None is an operator, who sees all.


async def page(work: Work, cursors: CursorCodec, query: JobQuery, owner_id: UUID) -> dict[str, Any]:
    return await _page(repository.MINE, work, cursors, query, {"owner_id": owner_id}, owner_id)


async def page_of_all(work: Work, cursors: CursorCodec, query: AnyJobQuery, caller_id: UUID) -> dict[str, Any]:
    """For operators: the jobs of everybody."""
    more = {"owner_id": query.created_by, "workspace_id": query.workspace_id}
    return await _page(repository.ALL, work, cursors, query, more, caller_id)


async def _page(
    listing: Listing, work: Work, cursors: CursorCodec, query: JobQuery, more: Mapping[str, Any], caller_id: UUID
) -> dict[str, Any]:
    found = await listing.page(work, cursors, query, {**_filters(query), **more}, caller_id)
    return {**found, "items": [shown(job) for job in found["items"]]}


def _filters(query: JobQuery) -> dict[str, Any]:
    return {
        "kinds": query.kind,
        "states": query.state,
        "queues": query.queue,
        "parent_id": query.parent_id,
        "since": query.since,
    }


async def get(work: Work, owner_id: UUID | None, job_id: UUID) -> Mapping[str, Any]:
    rows = await work.fetch(repository.FIND, {"job_id": job_id, "owner_id": owner_id})
    if not rows:
        raise NotFound
    return dict(rows[0])


async def result(work: Work, owner_id: UUID | None, job_id: UUID, workspace_ids: Collection[UUID]) -> Result:
    """What came of a job that has ended. Raises NotFound, JobNotEnded, JobWithoutResult.

    A file is there for those who still see its workspace; an operator (`owner_id` null) sees all.
    """
    job = await get(work, owner_id, job_id)
    if job["state"] not in FINAL_STATES:
        raise JobNotEnded
    if job["result"] is None:
        raise JobWithoutResult
    if "file_id" not in job["result"]:
        return Result(job["result"])
    file = await find_file(work, UUID(job["result"]["file_id"]))
    if file is None or not (owner_id is None or file["workspace_id"] in workspace_ids):
        raise JobWithoutResult
    return Result(job["result"], file)


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
