"""Schedules on the wire."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import MISSING, AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError, to_json
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.kit.schema import Flag, Id, Instant, StrictModel, Text, TimeZone, UtcTime
from app.web.listing import ListQuery, sort_by

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = to_json(value)
    except ValueError:
        raise PydanticCustomError("surrogate", "The args contain a lone surrogate") from None
    if _NUL.search(text):
        raise PydanticCustomError("nul_character", "The args contain a NUL character")
    return value


Name = Annotated[str, Text(100, min_length=1, blank=False), Field(description="One of its kind in the workspace.")]
Kind = Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,100}$", description="The kind of the jobs: `report.generate`.")]
Args = Annotated[
    dict[str, Any], AfterValidator(_storable), Field(description="What each job is given; the kind says what it takes.")
]
Cron = Annotated[
    str,
    Text(200, min_length=9),
    Field(description="Five fields: minute, hour, day of the month, month, day of the week; `30 2 * * mon-fri`."),
]
Interval = Annotated[
    int, Field(ge=10, le=31_536_000, description="Elapsed seconds; slots are whole intervals since 1970.")
]
Rrule = Annotated[
    str,
    Text(500, min_length=6),
    Field(description="A rule of RFC 5545 (3.3.10), not more often than MINUTELY: `FREQ=MONTHLY;BYDAY=-1FR`."),
]
StartsAt = Annotated[
    Instant,
    Field(description="No slot is earlier; whole seconds. For `rrule` it is DTSTART; now, where it is left out."),
]
Jitter = Annotated[
    int,
    Field(
        ge=0, le=3600, description="A job starts up to so many seconds after its slot; for one slot always the same."
    ),
]
Misfire = Annotated[
    Literal["skip", "run_once", "catch_up"],
    Field(
        description="Of slots that nobody handled in time: none runs, the latest runs, or the latest 100 run "
        "(which takes an `overlap` other than `skip`)."
    ),
]
Overlap = Annotated[
    Literal["skip", "queue", "allow"],
    Field(description="While the job of an earlier slot has not ended: leave the slot out, wait, or run beside it."),
]
Outcome = Literal[
    "enqueued", "queued", "skipped_overlap", "missed", "paused", "triggered", "owner_gone", "invalid_args"
]


def _only_false(value: bool) -> bool:  # noqa: FBT001  pydantic gives it by position
    # Not Literal[False], which takes 0 as well.
    if value:
        raise PydanticKnownError("literal_error", {"expected": "false"})
    return value


class Timing(StrictModel):
    """When. One of `cron`, `interval_seconds` and `rrule`."""

    cron: Cron | None = None
    interval_seconds: Interval | None = None
    rrule: Rrule | None = None
    starts_at: StartsAt | None = None
    time_zone: TimeZone = Field("UTC", description="The IANA zone in which `cron` and `rrule` tell the time.")


class PreviewRequest(Timing):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "count": 3}]}
    )

    count: int = Field(10, ge=1, le=50)


class ScheduleCreate(Timing):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Weekly report",
                    "kind": "report.generate",
                    "args": {},
                    "cron": "0 8 * * mon",
                    "time_zone": "Europe/Berlin",
                }
            ]
        }
    )

    name: Name
    kind: Kind
    args: Args = Field(default_factory=dict)
    workspace_id: Id | None = Field(None, description="Without one, your personal workspace.")
    jitter_seconds: Jitter = 0
    misfire: Misfire = "run_once"
    overlap: Overlap = "skip"


class ScheduleUpdate(StrictModel):
    """A JSON merge patch (RFC 7396): only the fields sent are touched. One of the three rules replaces another."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cron": "0 9 * * mon"}]})

    name: Name | MISSING = MISSING
    args: Args | MISSING = MISSING
    cron: Cron | MISSING | None = MISSING
    interval_seconds: Interval | MISSING | None = MISSING
    rrule: Rrule | MISSING | None = MISSING
    starts_at: StartsAt | MISSING | None = MISSING
    time_zone: TimeZone | MISSING = MISSING
    jitter_seconds: Jitter | MISSING = MISSING
    misfire: Misfire | MISSING = MISSING
    overlap: Overlap | MISSING = MISSING
    retimed: (
        Annotated[
            bool,
            AfterValidator(_only_false),
            Field(
                description="Gives a built-in one the times back that it comes with.",
                json_schema_extra={"const": False},
            ),
        ]
        | MISSING
    ) = MISSING


class ScheduleOut(BaseModel):
    """A rule that enqueues jobs of one kind over time."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    workspace_id: Annotated[UUID | None, Field(description="Null for what is built in.")]
    created_by: Annotated[UUID | None, Field(description="The owner: the jobs have this person's rights.")]
    name: str
    kind: str
    args: dict[str, Any]
    cron: str | None
    interval_seconds: int | None
    rrule: str | None
    starts_at: UtcTime | None
    time_zone: str
    jitter_seconds: int
    misfire: Misfire
    overlap: Overlap
    paused_at: UtcTime | None
    built_in: bool
    retimed: Annotated[bool, Field(description="Whether an operator has given a built-in one other times.")]
    created_at: UtcTime
    updated_at: UtcTime
    version: int


class ScheduleListed(ScheduleOut):
    """As a list shows it. The next slot moves with the clock, so it is no part of the version that the ETag names."""

    next_slot: Annotated[UtcTime | None, Field(description="Null once the rule has ended.")]


class SchedulePage(TypedDict):
    items: list[ScheduleListed]
    next_cursor: str | None
    total_count: NotRequired[int]


class ScheduleRun(BaseModel):
    """What became of one slot."""

    model_config = ConfigDict(from_attributes=True)

    slot: UtcTime
    outcome: Annotated[
        Outcome,
        Field(
            description="`enqueued`: its job was made. `queued`: it waits for the job before. `skipped_overlap`: that "
            "had not ended. `missed`: nobody handled it in time. `paused`. `triggered`: somebody asked for it. "
            "`owner_gone`: the owner may no longer work in the workspace. `invalid_args`: the kind does not take them "
            "any more."
        ),
    ]
    slots: Annotated[int, Field(description="For how many the row stands; more than one after a long outage only.")]
    job_id: UUID | None
    job_state: Annotated[str | None, Field(description="Null without a job, and when it is not kept any more.")]
    created_at: UtcTime


class RunPage(TypedDict):
    items: list[ScheduleRun]
    next_cursor: str | None
    total_count: NotRequired[int]


LocalTime = Annotated[
    datetime,
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class Slot(TypedDict):
    slot: UtcTime
    local: Annotated[LocalTime, Field(description="The same moment in the zone of the schedule.")]


class SlotList(TypedDict):
    """Fewer than asked for where the rule ends, or has no more within ten years."""

    items: list[Slot]


class ScheduleQuery(ListQuery):
    sort: str | None = sort_by("name", "created_at", default="name")
    workspace: list[UUID] = Field([], max_length=50, description="Only these workspaces.")
    kind: list[Kind] = Field([], max_length=20, description="Only these kinds; repeatable.")
    paused: Flag | None = Field(None, description="Only those that are paused, or that are not.")


class RunQuery(ListQuery):
    sort: str | None = sort_by("slot", default="-slot")
    outcome: list[Outcome] = Field([], description="Only these outcomes; repeatable.")
