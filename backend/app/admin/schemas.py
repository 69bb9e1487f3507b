"""`/admin/jobs` on the wire."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from app.jobs.schemas import Word
from app.kit.schema import Id, Instant, StrictModel, digits

BULK_LIMIT = 10_000


class JobFilter(StrictModel):
    """Which jobs; conditions are combined with AND, the entries of a list with OR. One at least is needed."""

    job_ids: list[Id] = Field([], max_length=BULK_LIMIT)
    kinds: list[Word] = Field([], max_length=50)
    queues: list[Word] = Field([], max_length=50)
    workspace_id: Id | None = None
    created_by: Id | None = None
    parent_id: Id | None = None
    error_code: Word | None = Field(None, description="Of the last attempt.")
    since: Instant | None = Field(None, description="Enqueued at this time or later.")
    until: Instant | None = Field(None, description="Enqueued before this time.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not any(value for _, value in self):
            raise PydanticCustomError("empty_filter", "Name at least one condition: without any, every job would match")
        return self


class BulkIn(StrictModel):
    filter: JobFilter = Field(examples=[{"kinds": ["email.send"], "error_code": "smtp_unreachable"}])
    limit: int = Field(1000, ge=1, le=BULK_LIMIT, description="So many at most, the oldest first.")
    dry_run: bool = Field(False, description="Only count.")


class BulkOut(TypedDict):
    jobs: Annotated[int, Field(description="How many were changed, or with `dry_run` would be.")]
    more: Annotated[bool, Field(description="Whether `limit` was reached: there may be more.")]
    dry_run: bool


class QueueIn(StrictModel):
    queue: Word = Field(examples=["email"])


class QueueOut(TypedDict):
    """One queue now."""

    queue: str
    waiting: Annotated[int, Field(description="Jobs that are due and wait for a worker.")]
    scheduled: Annotated[int, Field(description="Jobs that are not due yet.")]
    running: int
    parked: Annotated[int, Field(description="Waiting jobs of a kind or version that no live worker knows.")]
    oldest_waiting_seconds: float | None
    paused_at: datetime | None


class QueuesOut(TypedDict):
    items: list[QueueOut]
    next_cursor: None


class ProcessOut(TypedDict):
    """A worker or a beat as it last told of itself."""

    id: str
    role: Literal["worker", "beat"]
    host: str
    pid: int
    version: str
    queues: list[str]
    slots: Annotated[int, Field(description="Jobs that it runs at once.")]
    busy: int
    alive: Annotated[bool, Field(description="Whether it was seen within the last minute.")]
    started_at: datetime
    seen_at: datetime
    worked_at: Annotated[datetime | None, Field(description="When it last began a job, or handled a slot.")]


class ProcessesOut(TypedDict):
    items: list[ProcessOut]
    next_cursor: None


class StatsQuery(StrictModel):
    hours: Annotated[int, BeforeValidator(digits)] = Field(
        24, ge=1, le=168, strict=False, description="How far back; finished jobs are kept for so long only."
    )


class Percentiles(TypedDict):
    p50: float
    p95: float
    p99: float


class KindStats(TypedDict):
    kind: str
    completed: int
    cancelled: int
    discarded: int
    per_minute: Annotated[float, Field(description="Completed, over the last five minutes.")]
    duration_seconds: Percentiles | None
    start_latency_seconds: Annotated[
        Percentiles | None, Field(description="From when it was due to its first attempt.")
    ]


class StatsOut(TypedDict):
    hours: int
    dead_letters: Annotated[int, Field(description="Discarded jobs that are kept.")]
    kinds: list[KindStats]


BULK = TypeAdapter(BulkOut)
QUEUE = TypeAdapter(QueueOut)
QUEUE_LIST = TypeAdapter(QueuesOut)
PROCESS_LIST = TypeAdapter(ProcessesOut)
STATS = TypeAdapter(StatsOut)
