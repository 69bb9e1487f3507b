"""`/jobs` over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from app.identity.caller import Caller
from app.identity.dependencies import CurrentCaller
from app.jobs import service
from app.jobs.schemas import JOB, JOB_PAGE, JobOut, JobPage, JobQuery
from app.web.responses import json_answer
from app.web.routing import Route
from app.web.session import CursorsDep, SessionDep, WorkDep

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Route)


def _owner(caller: Caller) -> UUID | None:
    return None if caller.is_superuser else caller.user_id


@router.get("", response_model=JobPage, summary="List your jobs")
async def list_jobs(
    caller: CurrentCaller, query: Annotated[JobQuery, Query()], work: WorkDep, cursors: CursorsDep
) -> Response:
    """The jobs that you asked for, newest first. Finished ones are kept for a while that depends on their kind."""
    return json_answer(JOB_PAGE, await service.page(work, cursors, query, caller.user_id))


@router.get("/{job_id:uuid}", response_model=JobOut, summary="Read a job")
async def read_job(caller: CurrentCaller, job_id: UUID, work: WorkDep) -> Response:
    """How far the work is, and once it has ended its result, or the errors of its attempts."""
    return json_answer(JOB, await service.get(work, _owner(caller), job_id))


@router.post("/{job_id:uuid}/cancel", response_model=JobOut, summary="Cancel a job")
async def cancel_job(caller: CurrentCaller, job_id: UUID, work: WorkDep) -> Response:
    """A waiting job is cancelled at once. A running one is asked to stop, and shows `cancel_requested_at` meanwhile."""
    return json_answer(JOB, await service.cancel(work, _owner(caller), job_id))


@router.post("/{job_id:uuid}/retry", response_model=JobOut, summary="Try a discarded job again")
async def retry_job(caller: CurrentCaller, job_id: UUID, session: SessionDep) -> Response:
    """With all its attempts before it; the errors of the former ones stay."""
    return json_answer(JOB, await service.retry(session, _owner(caller), job_id))
