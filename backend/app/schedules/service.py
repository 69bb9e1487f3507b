"""The rules of schedules that people make. Nothing here commits."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog
from pydantic_core import to_json
from sqlalchemy.exc import IntegrityError

from app.changes.editing import edit, record_created, remove
from app.kit.errors import InvalidInput, NotFound, invalid
from app.kit.ids import new_id
from app.models import ScheduleRun
from app.schedules import clock, repository, slots
from app.schedules.builtin import BUILT_IN
from app.schedules.errors import BuiltInSchedule, ScheduleBusy, ScheduleExists, TooManySchedules
from app.worker.enqueuing import announce, enqueue, row_of
from app.worker.kinds import KINDS, JobArgs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.identity.caller import Caller
    from app.infra.work import Work
    from app.kit.pagination import CursorCodec
    from app.models import Job, Schedule
    from app.schedules.schemas import RunQuery, ScheduleQuery

log = structlog.get_logger(__name__)

MAX_SCHEDULES = 100
"""Of one workspace."""
_RULES = ("cron", "interval_seconds", "rrule")
_TIMING = (*_RULES, "starts_at", "time_zone")
_RETIMING = {*_TIMING, "jitter_seconds"}
"""What may be changed of a built-in schedule."""
_START_RANGE = timedelta(days=3653)


def schedulable_kinds() -> list[str]:
    return sorted(name for name, kind in KINDS.items() if kind.schedulable)


async def list_schedules(work: Work, cursors: CursorCodec, caller: Caller, query: ScheduleQuery) -> dict[str, Any]:
    """Raises InvalidInput for an unknown sort key or a foreign cursor."""
    filters = {
        "workspace_ids": caller.scope.among(query.workspace),
        "operator": caller.is_superuser and not query.workspace,
        "kinds": query.kind,
        "paused": query.paused,
    }
    return await repository.SCHEDULES.page(work, cursors, query, filters, caller.user_id)


async def get_schedule(work: Work, caller: Caller, schedule_id: UUID) -> dict[str, Any]:
    params = {
        "workspace_ids": caller.scope.workspace_ids,
        "operator": caller.is_superuser,
        "schedule_id": schedule_id,
    }
    rows = await work.fetch(repository.SCHEDULE, params)
    if not rows:
        raise NotFound
    return dict(rows[0])


async def list_runs(
    work: Work, cursors: CursorCodec, caller: Caller, schedule_id: UUID, query: RunQuery
) -> dict[str, Any]:
    """Raises NotFound, and InvalidInput as `list_schedules` does."""
    await get_schedule(work, caller, schedule_id)
    filters = {"schedule_id": schedule_id, "outcomes": query.outcome}
    return await repository.RUNS.page(work, cursors, query, filters, schedule_id)


async def lock_schedule(session: AsyncSession, caller: Caller, schedule_id: UUID) -> Schedule:
    """The schedule to be changed, by its owner or an administrator of its workspace. Raises NotFound, RoleTooLow."""
    schedule = await repository.lock(session, caller.scope.workspace_ids, schedule_id, operator=caller.is_superuser)
    if schedule is None:
        raise NotFound
    if schedule.workspace_id is not None:
        mine = schedule.created_by == caller.user_id
        caller.scope.require(schedule.workspace_id, "member" if mine else "admin")
    return schedule


async def create_schedule(session: AsyncSession, caller: Caller, fields: Mapping[str, Any]) -> Schedule:
    """Raises InvalidInput, InvalidReference, RoleTooLow, ScheduleExists, TooManySchedules; for args that the kind does
    not take pydantic's ValidationError.
    """
    workspace_id = caller.scope.target(fields["workspace_id"])
    if fields["kind"] not in schedulable_kinds():
        raise _not_schedulable()
    if await repository.count(session, workspace_id) >= MAX_SCHEDULES:
        raise TooManySchedules(f"A workspace may have {MAX_SCHEDULES} schedules")
    now = await repository.now(session)
    values = {
        **fields,
        **_timing(fields, now),
        "id": new_id(),
        "workspace_id": workspace_id,
        "created_by": caller.user_id,
        "args": row_of(_args(fields["kind"], fields["args"]))["args"],
    }
    _check_policies(values)
    values["next_slot"] = slots.upcoming(values, now, 1)[0]
    made = await repository.add(session, values)
    if made is None:
        raise ScheduleExists
    await record_created(session, caller.actor(), made)
    return made


async def update_schedule(work: Work, caller: Caller, schedule: Schedule, patch: Mapping[str, Any]) -> Schedule:
    """Slots that are due by the old rule are handled by it. Raises InvalidInput, ScheduleExists, BuiltInSchedule; for
    args that the kind does not take pydantic's ValidationError.

    The transaction is of no more use after ScheduleExists.
    """
    if schedule.built_in:
        patch = _retiming(schedule, patch)
    elif "retimed" in patch:
        raise invalid("/retimed", "not_built_in", "Only a built-in schedule has other times to go back to")
    values = dict(patch)
    session = await work.transaction()
    if "args" in patch:
        values["args"] = row_of(_args(schedule.kind, patch["args"]))["args"]
    if set(values) & set(_TIMING):
        await _settle(work, schedule)
        now = await repository.now(session)
        whole = {name: getattr(schedule, name) for name in _TIMING}
        if any(values.get(name) is not None for name in _RULES):
            whole |= dict.fromkeys(_RULES)
        values |= _timing(whole | values, now)
        values["next_slot"] = slots.upcoming(values, now, 1)[0]
    _check_policies({"misfire": schedule.misfire, "overlap": schedule.overlap} | values)
    return await _write(session, caller, schedule, values)


async def pause(work: Work, caller: Caller, schedule: Schedule) -> Schedule:
    """Until somebody resumes it. What is due already still runs; later slots are written down as paused."""
    await _settle(work, schedule)
    session = await work.transaction()
    values = {"paused_at": schedule.paused_at or await repository.now(session)}
    return await _write(session, caller, schedule, values, "paused")


async def resume(work: Work, caller: Caller, schedule: Schedule) -> Schedule:
    """From its next slot on."""
    await _settle(work, schedule)
    return await _write(await work.transaction(), caller, schedule, {"paused_at": None}, "resumed")


async def delete_schedule(session: AsyncSession, caller: Caller, schedule: Schedule) -> None:
    """With its history; jobs that it has made go on. Raises BuiltInSchedule."""
    if schedule.built_in:
        raise BuiltInSchedule
    await remove(session, caller.actor(), schedule)


async def trigger(session: AsyncSession, caller: Caller, schedule: Schedule) -> Job:
    """A job now, beside the rule, also while it is paused; whoever asks is its owner.

    Raises ScheduleBusy unless the schedule allows overlaps; pydantic's ValidationError as `create_schedule` does.
    """
    unique_key = None if schedule.overlap == "allow" else f"schedule:{schedule.id}"
    args = _args(schedule.kind, schedule.args)
    job = await enqueue(
        session, args, workspace_id=schedule.workspace_id, created_by=caller.user_id, unique_key=unique_key
    )
    if job.slot is not None:  # every job of a schedule has one, and a new one has none yet
        raise ScheduleBusy
    job.schedule_id, job.slot = schedule.id, await repository.now(session)
    session.add(ScheduleRun(schedule_id=schedule.id, slot=job.slot, outcome="triggered", job_id=job.id))
    await session.flush()
    return job


def preview(schedule: Mapping[str, Any], now: datetime, count: int) -> list[datetime]:
    """The next slots. Raises InvalidInput for a rule that has none."""
    return slots.upcoming(_timing(schedule, now), now, count)


async def preview_schedule(work: Work, caller: Caller, schedule_id: UUID, count: int) -> tuple[str, list[datetime]]:
    """The zone and the next slots; none once the rule has ended. Raises NotFound."""
    schedule = await get_schedule(work, caller, schedule_id)
    if schedule["next_slot"] is None:
        return schedule["time_zone"], []
    now = (await work.fetch(repository.NOW, {}))[0]["now"]
    return schedule["time_zone"], slots.upcoming(schedule, now, count)


def _args(kind: str, given: Mapping[str, Any]) -> JobArgs:
    if kind not in KINDS:
        raise _not_schedulable()
    return KINDS[kind].model_validate_json(to_json(given))


def _not_schedulable() -> InvalidInput:
    known = ", ".join(schedulable_kinds()) or "none"
    return invalid("/kind", "kind_not_schedulable", f"Kinds of which schedules can be made: {known}")


def _timing(fields: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The columns that say when. Raises InvalidInput unless there is one rule."""
    timing = {name: fields[name] for name in _TIMING}
    given = [name for name in _RULES if timing[name] is not None]
    if len(given) != 1:
        pointer = f"/{given[1]}" if given else "/cron"
        raise invalid(pointer, "one_rule", f"A schedule has one of {', '.join(_RULES)}")
    starts_at = timing["starts_at"]
    if starts_at is None:
        timing["starts_at"] = None if timing["rrule"] is None else now.replace(second=0, microsecond=0)
    elif abs(starts_at - now) > _START_RANGE:
        raise invalid("/starts_at", "out_of_range", "A schedule starts within ten years from now, or of the past")
    else:
        timing["starts_at"] = starts_at.replace(microsecond=0)
    return timing


def _check_policies(values: Mapping[str, Any]) -> None:
    if values["misfire"] == "catch_up" and values["overlap"] == "skip":
        raise invalid(
            "/misfire", "catch_up_overlaps", "catch_up takes an overlap of queue or allow: else one would run"
        )


def _retiming(schedule: Schedule, patch: Mapping[str, Any]) -> dict[str, Any]:
    if not set(patch) - _RETIMING:
        return {**patch, "retimed": True} if patch else {}
    if set(patch) == {"retimed"}:
        declared = next((one for one in BUILT_IN if one.name == schedule.name), None)
        if declared is not None:
            return {**declared.timing(), "retimed": False}
    raise BuiltInSchedule


async def _settle(work: Work, schedule: Schedule) -> None:
    """Handles what is due, as a beat would: no slot is lost by a change that comes first."""
    session = await work.transaction()
    params = {"schedule_id": schedule.id, "kinds": list(KINDS)}
    with suppress(InvalidInput):  # a rule that cannot be computed any more has no slots, and may be changed
        while due := await work.fetch(repository.DUE_ONE, params):
            for queue in (await clock.settle(work.fetch, due[0])).elements():
                announce(session, queue)


async def _write(
    session: AsyncSession, caller: Caller, schedule: Schedule, values: Mapping[str, Any], action: str = "updated"
) -> Schedule:
    if schedule.workspace_id is not None:
        try:
            return await edit(session, caller.actor(), schedule, values, action)
        except IntegrityError as error:
            raise ScheduleExists from error
    # The record belongs to workspaces; what operators do to the machinery stands in the log.
    changed = {name: value for name, value in values.items() if getattr(schedule, name) != value}
    if not changed:
        return schedule
    log.warning("built_in_schedule_changed", name=schedule.name, user_id=str(caller.user_id), fields=sorted(changed))
    return await repository.change_built_in(session, schedule, changed)
