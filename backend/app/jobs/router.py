"""`/jobs` over HTTP."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic_core import to_json

from app.identity.caller import Caller
from app.identity.dependencies import CurrentCaller, is_signed_in
from app.infra.work import Work
from app.jobs import service
from app.jobs.dependencies import DrainingDep
from app.jobs.events import follow, has_ended, version_of
from app.jobs.schemas import JOB, JOB_PAGE, JobOut, JobPage, JobQuery, shown
from app.web import event_stream
from app.web.downloads import Download, WantedDep, send
from app.web.query import SentQuery
from app.web.responses import json_answer
from app.web.routing import Route, no_deadline
from app.web.session import CursorsDep, DatabaseDep, SessionDep, StorageDep, WorkDep

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Route)


def _owner(caller: Caller) -> UUID | None:
    return None if caller.is_superuser else caller.user_id


@router.get("", response_model=JobPage, summary="List your jobs")
async def list_jobs(
    caller: CurrentCaller, query: Annotated[JobQuery, Depends(SentQuery(JobQuery))], work: WorkDep, cursors: CursorsDep
) -> Response:
    """The jobs that you asked for, newest first. Finished ones are kept for a while that depends on their kind."""
    return json_answer(JOB_PAGE, await service.page(work, cursors, query, caller.user_id))


@router.get("/{job_id:uuid}", response_model=JobOut, summary="Read a job")
async def read_job(caller: CurrentCaller, job_id: UUID, work: WorkDep) -> Response:
    """How far the work is, and once it has ended its result, or the errors of its attempts."""
    return json_answer(JOB, shown(await service.get(work, _owner(caller), job_id)))


@router.post("/{job_id:uuid}/cancel", response_model=JobOut, summary="Cancel a job")
async def cancel_job(caller: CurrentCaller, job_id: UUID, work: WorkDep) -> Response:
    """A waiting job is cancelled at once. A running one is asked to stop, and shows `cancel_requested_at` meanwhile."""
    return json_answer(JOB, shown(await service.cancel(work, _owner(caller), job_id)))


@router.post("/{job_id:uuid}/retry", response_model=JobOut, summary="Try a discarded job again")
async def retry_job(caller: CurrentCaller, job_id: UUID, session: SessionDep) -> Response:
    """With all its attempts before it; the errors of the former ones stay."""
    return json_answer(JOB, shown(await service.retry(session, _owner(caller), job_id)))


_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, as an attachment; else what the kind promises, as JSON",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": {"imported": 480}},
            "application/octet-stream": {"schema": {"type": "string"}, "example": "..."},
        },
    }
}


@router.get("/{job_id:uuid}/result", response_class=Response, responses=_RESULT, summary="Fetch the result of a job")
@no_deadline
async def read_job_result(
    caller: CurrentCaller, job_id: UUID, work: WorkDep, storage: StorageDep, wanted: WantedDep
) -> Response:
    """The file that the job made, streamed; where it made none, its `result`. 409 until the job has ended."""
    result = await service.result(work, _owner(caller), job_id, caller.scope.workspace_ids)
    if result.file is None:
        return Response(to_json(result.value), media_type="application/json")
    about = {name: result.file[name] for name in ("size", "sha256", "media_type", "name")}
    return await send(storage, Download(result.file["storage_key"], **about), wanted)


@router.get("/{job_id:uuid}/events", response_class=Response, responses=event_stream.RESPONSES, summary="Follow a job")
@no_deadline
async def follow_job(
    caller: CurrentCaller,
    job_id: UUID,
    database: DatabaseDep,
    draining: DrainingDep,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=100, description="The last event that you have.")] = None,
) -> Response:
    """Server-sent events: `progress` at each change, `ended` with the last one, both with the job as their data.

    `interrupted` means that there is more to come: connect again. With `Last-Event-ID` only what is new is sent.
    """
    owner_id = _owner(caller)

    async def look() -> Mapping[str, Any]:
        async with asyncio.timeout(request.app.state.settings.database_deadline):
            return await service.get(Work(database), owner_id, job_id)

    job = await look()
    if has_ended(job) and version_of(job) == last_event_id:
        return Response(status_code=204)
    return event_stream.stream(request, follow(look, partial(is_signed_in, request), draining, last_event_id))
