from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, one_of

JOB_STATES = ("scheduled", "available", "running", "completed", "cancelled", "discarded")
FINAL_STATES = ("completed", "cancelled", "discarded")
LIVE_STATES = ("scheduled", "available", "running")
_LIVE = "state IN ('scheduled', 'available', 'running')"


class Job(HasId, Base):
    """One run of work in the background: the only truth about it (docs/adr/0003).

    States move only along the table in docs/architecture.md; every write to a running job names its `lease_token`.
    """

    __tablename__ = "jobs"

    kind: Mapped[str]
    queue: Mapped[str]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="5")
    """0 is taken first, 9 last."""
    args_version: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    args: Mapped[dict[str, Any]]
    state: Mapped[str]
    run_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    attempt: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    """Of a parent, which runs without a lease: when its children are counted next."""
    worker: Mapped[str | None]
    progress: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    errors: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    unique_key: Mapped[str | None]
    workspace_id: Mapped[UUID | None] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    schedule_id: Mapped[UUID | None]
    slot: Mapped[datetime | None]
    traceparent: Mapped[str | None]
    cancel_requested_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    deaths: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    """Pool processes that died under it."""
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("state", JOB_STATES), name="state"),
        Index("ix_jobs_claim", "queue", priority, run_at, "id", postgresql_where=text("state = 'available'")),
        Index("ix_jobs_due", run_at, postgresql_where=text("state = 'scheduled'")),
        Index("ix_jobs_lease", "lease_until", postgresql_where=text("state = 'running'")),
        Index(
            "ix_jobs_deadline",
            "deadline_at",
            postgresql_where=text("deadline_at IS NOT NULL AND state IN ('scheduled', 'available')"),
        ),
        Index("ix_jobs_schedule", "schedule_id", postgresql_where=text(f"schedule_id IS NOT NULL AND {_LIVE}")),
        Index("uq_jobs_unique_key", "kind", "unique_key", unique=True, postgresql_where=text(_LIVE)),
        Index("ix_jobs_parent_id", parent_id, "state", postgresql_where=text("parent_id IS NOT NULL")),
        Index("ix_jobs_created_by", created_by, text("created_at DESC"), text("id DESC")),
        Index("ix_jobs_finished", "kind", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        {
            "postgresql_with": {
                "fillfactor": 70,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_cost_delay": 0,
            }
        },
    )


class JobEffect(Base):
    """One effect of a job inside our database: the key is unique, so a second attempt cannot repeat it."""

    __tablename__ = "job_effects"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    effect_key: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
