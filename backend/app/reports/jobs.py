"""The handlers of `report.generate`, `report.daily` and `report.weekly`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from app.access.service import scope_of
from app.files.service import as_result, keep, made_by
from app.infra.storage import Storage
from app.kit.clock import utc_now
from app.kit.errors import AppError
from app.reports import repository, service
from app.reports.job_args import DailyArgs, ReportArgs, WeeklyArgs
from app.reports.writers import MEDIA_TYPES, written
from app.worker import Permanent, RunningJob, enqueue, handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_BATCH = 200


@handler(ReportArgs)
async def generate(job: RunningJob, args: ReportArgs) -> dict[str, Any]:
    """Counts in one snapshot, draws, stores. A repeated attempt finds the file."""
    async with job.database.session() as session:
        made = await made_by(session, job.id)
        if made is not None:
            return as_result(made)
        zone = args.time_zone or await repository.zone_of(session, job.created_by)
        workspace_id, user_id = await _still_allowed(session, job)
    try:
        since, until = service.period(args, utc_now().astimezone(ZoneInfo(zone)).date())
    except AppError as error:
        raise Permanent(error.code, error.detail) from None
    await job.progress(0, 3, "counting")
    async with job.database.snapshot(service.STATEMENT_SECONDS) as connection:
        figures = await service.figures(connection, workspace_id, args, zone, since, until)
    await job.progress(1, 3, "drawing")
    content = await asyncio.to_thread(written, figures, args.format)
    await job.progress(2, 3, "storing")
    async with job.transaction() as session:
        file = await keep(
            session,
            Storage(job.settings),
            _once(content),
            workspace_id=workspace_id,
            user_id=user_id,
            name=f"report-{since}-to-{until}.{args.format}",
            media_type=MEDIA_TYPES[args.format],
            job_id=job.id,
        )
    return as_result(file)


async def _still_allowed(session: AsyncSession, job: RunningJob) -> tuple[UUID, UUID]:
    """The workspace, and who the report is for; rights may have gone since the job was enqueued."""
    if job.created_by is None or job.workspace_id is None:
        raise Permanent("nobody", "A report is of a workspace and for somebody")
    try:
        (await scope_of(session, job.created_by)).require(job.workspace_id, "viewer")
    except AppError as error:
        raise Permanent(error.code, error.detail) from None
    return job.workspace_id, job.created_by


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@handler(DailyArgs)
async def order_daily(job: RunningJob, _: DailyArgs) -> dict[str, Any]:
    return {"reports": await _order(job, "day")}


@handler(WeeklyArgs)
async def order_weekly(job: RunningJob, _: WeeklyArgs) -> dict[str, Any]:
    return {"reports": await _order(job, "week")}


async def _order(job: RunningJob, unit: str) -> int:
    """A report for each active workspace, in batches that each count once; returns how many this attempt ordered."""
    ordered, after = 0, None
    while True:
        async with job.transaction() as session:
            batch = await repository.active(session, job.id, unit, after, _BATCH)
            if not batch:
                return ordered
            if await job.effect(session, f"after {after}"):
                for row in batch:
                    await _order_one(session, row)
                ordered += len(batch)
        after = batch[-1]["workspace_id"]


async def _order_one(session: AsyncSession, row: Mapping[str, Any]) -> None:
    args = ReportArgs(since=row["since"], until=row["until"], time_zone=row["zone"])
    await enqueue(session, args, workspace_id=row["workspace_id"], created_by=row["owner_id"])
