"""Jobs on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import ConfigDict, Field, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.web.listing import ListQuery, sort_by

State = Literal["scheduled", "available", "running", "completed", "cancelled", "discarded"]

Word = Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,100}$")]


class JobQuery(ListQuery):
    sort: str | None = sort_by("created_at", default="-created_at")
    kind: list[Word] = Field([], max_length=20, description="Only these kinds; repeatable.")
    state: list[State] = Field([], description="Only these states; repeatable.")
    queue: list[Word] = Field([], max_length=20, description="Only these queues; repeatable.")
    parent_id: UUID | None = Field(None, description="Only the parts of this job.")


class Progress(TypedDict):
    current: int
    total: int | None
    message: str | None


class AttemptError(TypedDict):
    """What became of an attempt that did not complete the job."""

    attempt: int
    at: Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
    code: Annotated[str, Field(description="Stable, snake_case.")]
    message: str
    duration: Annotated[float, Field(description="Seconds.")]


class JobOut(TypedDict):
    """One run of work in the background."""

    __pydantic_config__ = ConfigDict(  # type: ignore[misc]
        json_schema_extra={
            "examples": [
                {
                    "id": "01a1fe0f-1a09-7ba3-9d91-9f77c666acdd",
                    "kind": "tasks.import",
                    "queue": "slow",
                    "state": "running",
                    "attempt": 1,
                    "max_attempts": 3,
                    "progress": {"current": 120, "total": 480, "message": "tasks"},
                    "result": None,
                    "errors": [],
                    "workspace_id": None,
                    "created_by": "01a1fe0e-0000-7000-8000-000000000001",
                    "parent_id": None,
                    "run_at": "2026-01-05T08:00:00Z",
                    "deadline_at": None,
                    "cancel_requested_at": None,
                    "created_at": "2026-01-05T08:00:00Z",
                    "started_at": "2026-01-05T08:00:00.021000Z",
                    "finished_at": None,
                }
            ]
        }
    )

    id: UUID
    kind: Annotated[str, Field(description="Feature first: `tasks.import`.")]
    queue: str
    state: Annotated[State, Field(description="`discarded` has failed for good; the last of `errors` says why.")]
    attempt: Annotated[int, Field(description="Attempts so far.")]
    max_attempts: int
    progress: Progress | None
    result: Annotated[dict[str, Any] | None, Field(description="What the kind promises, beside some failures too.")]
    errors: list[AttemptError]
    workspace_id: UUID | None
    created_by: UUID | None
    parent_id: UUID | None
    run_at: Annotated[
        datetime, Field(description="Not before this; later than now while it waits for another attempt.")
    ]
    deadline_at: datetime | None
    cancel_requested_at: Annotated[datetime | None, Field(description="A running job ends at its next checkpoint.")]
    created_at: datetime
    started_at: Annotated[datetime | None, Field(description="When the latest attempt began.")]
    finished_at: datetime | None


class JobPage(TypedDict):
    items: list[JobOut]
    next_cursor: str | None
    total_count: NotRequired[int]


JOB = TypeAdapter(JobOut)
JOB_PAGE = TypeAdapter(JobPage)
