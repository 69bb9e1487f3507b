"""`/schedules` over HTTP."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BeforeValidator

from app.identity.dependencies import CurrentCaller
from app.jobs.dependencies import accepted
from app.jobs.schemas import JobOut
from app.kit.clock import utc_now
from app.kit.schema import digits
from app.schedules import service
from app.schedules.dependencies import ScheduleToChange, ScheduleToUse, args_of_body, schedule_to_change
from app.schedules.schemas import (
    PreviewRequest,
    RunPage,
    RunQuery,
    ScheduleCreate,
    ScheduleOut,
    SchedulePage,
    ScheduleQuery,
    ScheduleUpdate,
    SlotList,
)
from app.web.preconditions import IfMatch, IfNoneMatch
from app.web.query import SentQuery
from app.web.responses import tagged, unless_known
from app.web.routing import Route
from app.web.session import CursorsDep, SessionDep, SettingsDep, WorkDep

router = APIRouter(prefix="/schedules", tags=["schedules"], route_class=Route)
SCHEDULE = "/{schedule_id:uuid}"
Count = Annotated[int, Query(ge=1, le=50, description="Slots at most."), BeforeValidator(digits)]


@router.get("", response_model=SchedulePage, summary="List schedules")
async def list_schedules(
    caller: CurrentCaller,
    query: Annotated[ScheduleQuery, Depends(SentQuery(ScheduleQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """Those of your workspaces, by name, in pages; for superusers also what is built in."""
    return await service.list_schedules(work, cursors, caller, query)


@router.post("", status_code=201, response_model=ScheduleOut, summary="Create a schedule")
async def create_schedule(caller: CurrentCaller, body: ScheduleCreate, session: SessionDep, response: Response) -> Any:
    """It first runs at its next slot. Its jobs have your rights, for as long as you may work in the workspace."""
    with args_of_body(body.args):
        schedule = await service.create_schedule(session, caller, body.model_dump())
    return tagged(response, schedule, location=f"/schedules/{schedule.id}")


@router.post("/preview", response_model=SlotList, summary="Show the slots of a rule")
async def preview_rule(_: CurrentCaller, body: PreviewRequest) -> Any:
    """When a schedule with this rule would run. Nothing is stored."""
    rule = body.model_dump(exclude={"count"})
    return _slots(body.time_zone, service.preview(rule, utc_now(), body.count))


@router.get(
    SCHEDULE,
    response_model=ScheduleOut,
    summary="Read a schedule",
    responses={304: {"description": "You have the current version"}},
)
async def read_schedule(
    caller: CurrentCaller, schedule_id: UUID, work: WorkDep, response: Response, if_none_match: IfNoneMatch = None
) -> Any:
    return unless_known(response, await service.get_schedule(work, caller, schedule_id), if_none_match)


@router.patch(SCHEDULE, response_model=ScheduleOut, summary="Change a schedule")
async def update_schedule(
    caller: CurrentCaller,
    schedule_id: UUID,
    body: ScheduleUpdate,
    work: WorkDep,
    settings: SettingsDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """A JSON merge patch: only the fields sent are touched; a rule replaces the one before. With other times it runs at
    its next slot by those. Of a built-in schedule only the times can be changed.
    """
    # Called, not depended on: what is wrong with the body comes before a stale If-Match (RFC 9110 13.2.1).
    schedule = await schedule_to_change(caller, schedule_id, await work.transaction(), settings, if_match)
    patch = body.model_dump()
    with args_of_body(patch.get("args")):
        return tagged(response, await service.update_schedule(work, caller, schedule, patch))


@router.delete(SCHEDULE, status_code=204, summary="Delete a schedule")
async def delete_schedule(caller: CurrentCaller, schedule: ScheduleToChange, session: SessionDep) -> None:
    """With its history. Jobs that it has made go on; a built-in one can only be paused."""
    await service.delete_schedule(session, caller, schedule)


@router.get(f"{SCHEDULE}/runs", response_model=RunPage, summary="List what became of the slots")
async def list_runs(
    caller: CurrentCaller,
    schedule_id: UUID,
    query: Annotated[RunQuery, Depends(SentQuery(RunQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """The latest first; every slot of the last seven days is there, also those that did not run."""
    return await service.list_runs(work, cursors, caller, schedule_id, query)


@router.get(f"{SCHEDULE}/preview", response_model=SlotList, summary="Show the next slots of a schedule")
async def preview_schedule(caller: CurrentCaller, schedule_id: UUID, work: WorkDep, count: Count = 10) -> Any:
    """As they would come; while it is paused they pass without a job."""
    return _slots(*await service.preview_schedule(work, caller, schedule_id, count))


@router.post(f"{SCHEDULE}/trigger", status_code=202, response_model=JobOut, summary="Run a schedule now")
async def trigger_schedule(caller: CurrentCaller, schedule: ScheduleToUse, session: SessionDep) -> Response:
    """A job beside the rule, also while it is paused. 409 while its last job runs, unless it allows overlaps."""
    with args_of_body(schedule.args):
        return accepted(await service.trigger(session, caller, schedule))


@router.post(f"{SCHEDULE}/pause", response_model=ScheduleOut, summary="Pause a schedule")
async def pause_schedule(caller: CurrentCaller, schedule: ScheduleToChange, work: WorkDep, response: Response) -> Any:
    """Until somebody resumes it; its slots are written down as paused."""
    return tagged(response, await service.pause(work, caller, schedule))


@router.post(f"{SCHEDULE}/resume", response_model=ScheduleOut, summary="Resume a schedule")
async def resume_schedule(caller: CurrentCaller, schedule: ScheduleToChange, work: WorkDep, response: Response) -> Any:
    """It runs at its next slot; those that passed meanwhile are not made up for."""
    return tagged(response, await service.resume(work, caller, schedule))


def _slots(time_zone: str, slots: list[datetime]) -> dict[str, Any]:
    zone = ZoneInfo(time_zone)
    return {"items": [{"slot": slot, "local": slot.astimezone(zone)} for slot in slots]}
