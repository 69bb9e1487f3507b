from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes


class Attachment(HasId, HasTimes, Base):
    """A file on a task. Name, type, size and bytes are those of its `StoredFile` without a `thumbnail`."""

    __tablename__ = "attachments"

    task_id: Mapped[UUID]
    workspace_id: Mapped[UUID]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    job_id: Mapped[UUID | None]
    """The job that makes its thumbnails, where it is an image; finished jobs are pruned, so this is no foreign key."""

    __table_args__ = (
        ForeignKeyConstraint(["task_id", "workspace_id"], ["tasks.id", "tasks.workspace_id"], ondelete="CASCADE"),
        Index("ix_attachments_task_id", "task_id", "created_at", "id"),
    )
