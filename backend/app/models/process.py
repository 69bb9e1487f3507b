from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, one_of

ROLES = ("worker", "beat")


class Process(Base):
    """A worker or a beat as it last told of itself: news for operators, nothing depends on it."""

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(primary_key=True)
    """What stands before the last `/` in `jobs.worker`."""
    role: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    known: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """`kind@version` for every row that it can run."""
    slots: Mapped[int]
    """Jobs that it runs at once."""
    started_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    seen_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    worked_at: Mapped[datetime | None]
    """When it last began a job, or handled a slot."""

    __table_args__ = (CheckConstraint(one_of("role", ROLES), name="role"), {"postgresql_with": {"fillfactor": 50}})
