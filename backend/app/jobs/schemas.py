"""Jobs on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID

from pydantic import ConfigDict, Field, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict  # pydantic asks for it on Python 3.11

from app.kit.schema import Instant
from app.models.job import FINAL_STATES
from app.web.listing import ListQuery, sort_by

State = Literal["scheduled", "available", "running", "completed", "cancelled", "discarded"]

Word = Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,100}$")]


class JobQuery(ListQuery):
    sort: str | None = sort_by("created_at", default="-created_at")
    kind: list[Word] = Field([], max_length=20, description="Only these kinds; repeatable.")
    state: list[State] = Field([], description="Only these states; repeatable.")
    queue: list[Word] = Field([], max_length=20, description="Only these queues; repeatable.")
    parent_id: UUID | None = Field(None, description="Only the children of this job.")
    since: Instant | None = Field(None, description="Only jobs enqueued at this time or later.")


class AnyJobQuery(JobQuery):
    workspace_id: UUID | None = Field(None, description="Only jobs of this workspace.")
    created_by: UUID | None = Field(None, description="Only jobs that this user asked for.")


class Progress(TypedDict):
    current: int
    total: int | None
    message: str | None
    children: NotRequired[Annotated[dict[str, int], Field(description="Of a parent: how many are in which state.")]]


class Links(TypedDict):
    """Where one may go from here now."""

    self: str
    events: str
    parent: NotRequired[str]
    children: NotRequired[str]
    cancel: NotRequired[str]
    retry: NotRequired[str]
    result: NotRequired[str]


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
                    "links": {
                        "self": "/jobs/01a1fe0f-1a09-7ba3-9d91-9f77c666acdd",
                        "events": "/jobs/01a1fe0f-1a09-7ba3-9d91-9f77c666acdd/events",
                        "cancel": "/jobs/01a1fe0f-1a09-7ba3-9d91-9f77c666acdd/cancel",
                    },
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
    links: Links


class JobPage(TypedDict):
    items: list[JobOut]
    next_cursor: str | None
    total_count: NotRequired[int]


JOB = TypeAdapter(JobOut)
JOB_PAGE = TypeAdapter(JobPage)


def shown(job: Mapping[str, Any]) -> Any:
    """A row as it is shown: with its links."""
    path = f"/jobs/{job['id']}"
    ended = job["state"] in FINAL_STATES
    links = {
        "self": path,
        "events": f"{path}/events",
        "parent": f"/jobs/{job['parent_id']}" if job["parent_id"] else None,
        "children": f"/jobs?parent_id={job['id']}" if (job["progress"] or {}).get("children") else None,
        "cancel": None if ended else f"{path}/cancel",
        "retry": f"{path}/retry" if job["state"] == "discarded" else None,
        "result": f"{path}/result" if ended and job["result"] is not None else None,
    }
    return {**job, "links": {name: link for name, link in links.items() if link is not None}}
