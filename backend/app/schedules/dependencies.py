"""The schedule that a request changes: writable, locked, and of the version that `If-Match` names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.identity.dependencies import CurrentCaller
from app.models import Schedule
from app.schedules import service
from app.web.preconditions import IfMatch, require_match
from app.web.session import SessionDep, SettingsDep


async def schedule_to_change(
    caller: CurrentCaller, schedule_id: UUID, session: SessionDep, settings: SettingsDep, if_match: IfMatch = None
) -> Schedule:
    schedule = await service.lock_schedule(session, caller, schedule_id)
    require_match(if_match, schedule.version, required=settings.require_if_match)
    return schedule


async def schedule_to_use(caller: CurrentCaller, schedule_id: UUID, session: SessionDep) -> Schedule:
    return await service.lock_schedule(session, caller, schedule_id)


ScheduleToChange = Annotated[Schedule, Depends(schedule_to_change)]
ScheduleToUse = Annotated[Schedule, Depends(schedule_to_use)]


@contextmanager
def args_of_body(args: Any) -> Iterator[None]:
    """What a kind says against its args is a problem of the body, under `/args`."""
    try:
        yield
    except ValidationError as error:
        found = [{**entry, "loc": ("body", "args", *entry["loc"])} for entry in error.errors(include_url=False)]
        raise RequestValidationError(found, body={"args": args}) from None
