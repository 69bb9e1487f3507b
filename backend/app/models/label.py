from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes


class Label(HasId, HasTimes, Base):
    """A word on tasks of one workspace; names compare case-insensitively."""

    __tablename__ = "labels"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    name: Mapped[str]
    color: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (
        UniqueConstraint("id", "workspace_id"),
        Index("uq_labels_name", workspace_id, text("lower(name)"), unique=True),
    )
