"""Jobs on the wire."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.kit.schema import UtcTime
from app.web.listing import ListQuery

State = Literal["scheduled", "available", "running", "completed", "cancelled", "discarded"]

Word = Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,100}$")]


class JobQuery(ListQuery):
    kind: list[Word] = Field([], max_length=20, description="Only these kinds; repeatable.")
    state: list[State] = Field([], description="Only these states; repeatable.")
    queue: list[Word] = Field([], max_length=20, description="Only these queues; repeatable.")
    parent_id: UUID | None = Field(None, description="Only the parts of this job.")


class Progress(BaseModel):
    current: int
    total: int | None
    message: str | None


class AttemptError(BaseModel):
    """What became of an attempt that did not complete the job."""

    attempt: int
    at: UtcTime
    code: str = Field(description="Stable, snake_case.")
    message: str
    duration: float = Field(description="Seconds.")


class JobOut(BaseModel):
    """One run of work in the background."""

    model_config = ConfigDict(
        from_attributes=True,
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
        },
    )

    id: UUID
    kind: str = Field(description="Feature first: `tasks.import`.")
    queue: str
    state: State = Field(description="`discarded` has failed for good; the last of `errors` says why.")
    attempt: int = Field(description="Attempts so far.")
    max_attempts: int
    progress: Progress | None
    result: dict[str, Any] | None = Field(description="What the kind promises, beside some failures too.")
    errors: list[AttemptError]
    workspace_id: UUID | None
    created_by: UUID | None
    parent_id: UUID | None
    run_at: UtcTime = Field(description="Not before this; later than now for a job that waits for its next attempt.")
    deadline_at: UtcTime | None
    cancel_requested_at: UtcTime | None = Field(description="A running job ends at its next checkpoint.")
    created_at: UtcTime
    started_at: UtcTime | None = Field(description="When the latest attempt began.")
    finished_at: UtcTime | None


class JobPage(BaseModel):
    items: list[JobOut]
    next_cursor: str | None
    total_count: int | None = Field(None, description="Only with `count=true`.")


JOB = TypeAdapter(JobOut)
JOB_PAGE = TypeAdapter(JobPage)
