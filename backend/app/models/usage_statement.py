from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId


class UsageStatement(HasId, Base):
    """What a workspace used in one month (UTC). It grows by the hour until the month is over and `closed_at` is set."""

    __tablename__ = "usage_statements"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    month: Mapped[date]
    """Its first day."""
    tasks: Mapped[int]
    """The most there were at any full hour; the same for members and bytes of files."""
    members: Mapped[int]
    file_bytes: Mapped[int] = mapped_column(BigInteger)
    jobs: Mapped[int]
    """Enqueued until `counted_until`: finished ones are pruned, so they are counted as they come."""
    counted_until: Mapped[datetime]
    closed_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("workspace_id", "month"),
        CheckConstraint("extract(day FROM month) = 1", name="month"),
    )
