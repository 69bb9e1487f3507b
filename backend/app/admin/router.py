"""`/admin/jobs` over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.admin import service
from app.admin.schemas import (
    BULK,
    PROCESS_LIST,
    QUEUE,
    QUEUE_LIST,
    STATS,
    BulkIn,
    BulkOut,
    ProcessesOut,
    QueueIn,
    QueueOut,
    QueuesOut,
    StatsOut,
    StatsQuery,
)
from app.identity.dependencies import CurrentSuperuser
from app.jobs import service as jobs
from app.jobs.schemas import JOB_PAGE, AnyJobQuery, JobPage
from app.web.query import SentQuery
from app.web.responses import json_answer
from app.web.routing import Route, no_deadline
from app.web.session import CursorsDep, WorkDep

router = APIRouter(prefix="/admin/jobs", tags=["operations"], route_class=Route)


@router.get("", response_model=JobPage, summary="List all jobs")
async def list_all_jobs(
    caller: CurrentSuperuser,
    query: Annotated[AnyJobQuery, Depends(SentQuery(AnyJobQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Response:
    """The jobs of all workspaces and the machinery's own, newest first. `/jobs/{job_id}` reads, cancels, retries one."""
    return json_answer(JOB_PAGE, await jobs.page_of_all(work, cursors, query, caller.user_id))


@router.get("/queues", response_model=QueuesOut, summary="Show the queues")
async def list_queues(_: CurrentSuperuser, work: WorkDep) -> Response:
    """How many jobs wait, for how long, how many run; which queues are paused."""
    return json_answer(QUEUE_LIST, {"items": await service.queues(work), "next_cursor": None})


@router.get("/workers", response_model=ProcessesOut, summary="Show workers and beats")
async def list_workers(_: CurrentSuperuser, work: WorkDep) -> Response:
    """Workers and beats with their last proof of work. One that ended as it should is gone from here."""
    return json_answer(PROCESS_LIST, {"items": await service.workers_and_beats(work), "next_cursor": None})


@router.get("/stats", response_model=StatsOut, summary="Show throughput by kind")
@no_deadline
async def read_job_stats(
    _: CurrentSuperuser, query: Annotated[StatsQuery, Depends(SentQuery(StatsQuery))], work: WorkDep
) -> Response:
    """What ended lately, how long it took and how soon it began, and how many dead letters there are."""
    return json_answer(STATS, await service.stats(work, query.hours))


@router.post("/pause", response_model=QueueOut, summary="Pause a queue")
async def pause_queue(caller: CurrentSuperuser, body: QueueIn, work: WorkDep) -> Response:
    """No job of it begins any more, on any worker; those that run go on. Pausing it again changes nothing."""
    return json_answer(QUEUE, await service.pause(work, body.queue, caller.user_id))


@router.post("/resume", response_model=QueueOut, summary="Resume a queue")
async def resume_queue(caller: CurrentSuperuser, body: QueueIn, work: WorkDep) -> Response:
    """Its jobs begin again within seconds."""
    return json_answer(QUEUE, await service.resume(work, body.queue, caller.user_id))


@router.post("/retry", response_model=BulkOut, summary="Retry dead letters")
@no_deadline
async def retry_jobs(caller: CurrentSuperuser, body: BulkIn, work: WorkDep) -> Response:
    """Discarded jobs that match begin anew, with all their attempts before them. Where several have one unique key,
    the newest does; where the key is in use by a live job, none.
    """
    return json_answer(BULK, await service.retry(work, body, caller.user_id))


@router.post("/discard", response_model=BulkOut, summary="Discard waiting jobs")
@no_deadline
async def discard_jobs(caller: CurrentSuperuser, body: BulkIn, work: WorkDep) -> Response:
    """Jobs that match and have not begun, or wait for another attempt, become dead letters. A retry brings them back."""
    return json_answer(BULK, await service.discard(work, body, caller.user_id))
