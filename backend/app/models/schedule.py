from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes, one_of

MISFIRES = ("skip", "run_once", "catch_up")
OVERLAPS = ("skip", "queue", "allow")
RUN_OUTCOMES = (
    "enqueued",  # its job was made
    "queued",  # its job is made once that of the slot before has ended
    "skipped_overlap",  # the job of the slot before had not ended
    "missed",  # no beat ran in time
    "paused",
    "triggered",  # no slot of the rule: somebody asked for it
    "owner_gone",  # who made the schedule may no longer do this in its workspace
    "invalid_args",  # its kind does not take these args any more
)


class Schedule(HasId, HasTimes, Base):
    """A rule that enqueues jobs of one kind over time. One without a workspace is built in."""

    __tablename__ = "schedules"

    workspace_id: Mapped[UUID | None] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    """The owner, with whose rights the jobs run."""
    name: Mapped[str]
    kind: Mapped[str]
    args: Mapped[dict[str, Any]]
    cron: Mapped[str | None]
    interval_seconds: Mapped[int | None]
    rrule: Mapped[str | None]
    starts_at: Mapped[datetime | None]
    """No slot is earlier; what RFC 5545 calls DTSTART."""
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    jitter_seconds: Mapped[int] = mapped_column(server_default="0")
    misfire: Mapped[str] = mapped_column(server_default="run_once")
    overlap: Mapped[str] = mapped_column(server_default="skip")
    paused_at: Mapped[datetime | None]
    next_slot: Mapped[datetime | None]
    """Null once the rule has ended."""
    built_in: Mapped[bool] = mapped_column(server_default=text("false"))
    """Declared in code (app/schedules/builtin.py), and gone when it is gone from there."""
    retimed: Mapped[bool] = mapped_column(server_default=text("false"))
    """An operator has given a built-in one other times: those of the code do not come back by themselves."""
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (
        CheckConstraint("num_nonnulls(cron, interval_seconds, rrule) = 1", name="one_rule"),
        CheckConstraint("rrule IS NULL OR starts_at IS NOT NULL", name="rrule_start"),
        CheckConstraint("built_in = (workspace_id IS NULL)", name="built_in"),
        CheckConstraint(one_of("misfire", MISFIRES), name="misfire"),
        CheckConstraint(one_of("overlap", OVERLAPS), name="overlap"),
        Index("ix_schedules_next_slot", "next_slot"),
        Index("uq_schedules_built_in", "name", unique=True, postgresql_where=text("workspace_id IS NULL")),
        Index("uq_schedules_name", "workspace_id", "name", unique=True),
    )


class ScheduleRun(Base):
    """What became of one slot; the key makes it fire once whatever number of beats runs."""

    __tablename__ = "schedule_runs"

    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    slots: Mapped[int] = mapped_column(server_default="1")
    """For how many this row stands, from `slot` on: after a long outage one says it for all the older ones."""
    job_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        CheckConstraint(one_of("outcome", RUN_OUTCOMES), name="outcome"),
        Index("ix_schedule_runs_created_at", "created_at"),
        Index("ix_schedule_runs_queued", "schedule_id", "slot", postgresql_where=text("outcome = 'queued'")),
    )
