from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes, one_of

MISFIRES = ("skip", "run_once", "catch_up")
OVERLAPS = ("skip", "allow")
RUN_OUTCOMES = ("enqueued", "skipped_overlap", "missed")


class Schedule(HasId, HasTimes, Base):
    """A rule that enqueues jobs of one kind over time."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    args: Mapped[dict[str, Any]]
    interval_seconds: Mapped[int | None]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    misfire: Mapped[str] = mapped_column(server_default="run_once")
    overlap: Mapped[str] = mapped_column(server_default="skip")
    paused_at: Mapped[datetime | None]
    next_slot: Mapped[datetime]
    built_in: Mapped[bool] = mapped_column(server_default=text("false"))
    """Declared in code (app/schedules/builtin.py), and gone when it is gone from there."""
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (
        CheckConstraint(one_of("misfire", MISFIRES), name="misfire"),
        CheckConstraint(one_of("overlap", OVERLAPS), name="overlap"),
        Index("ix_schedules_next_slot", "next_slot"),
    )


class ScheduleRun(Base):
    """What became of one slot; the key makes it fire once whatever number of beats runs."""

    __tablename__ = "schedule_runs"

    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True)
    slot: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    job_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (
        CheckConstraint(one_of("outcome", RUN_OUTCOMES), name="outcome"),
        Index("ix_schedule_runs_created_at", "created_at"),
    )
