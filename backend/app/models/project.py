from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes


class Project(HasId, HasTimes, Base):
    """A list of tasks in a workspace. `key` is the prefix of its tasks' human keys and never changes."""

    __tablename__ = "projects"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    name: Mapped[str]
    description: Mapped[str | None]
    key: Mapped[str]
    is_inbox: Mapped[bool] = mapped_column(server_default="false")
    """The workspace's one project for tasks that name none; it cannot be deleted or archived."""
    position: Mapped[float] = mapped_column(server_default="0")
    last_task_number: Mapped[int] = mapped_column(server_default="0")
    """The number in the newest task's key; drawn under this row's lock, never reused."""
    archived_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (
        CheckConstraint("key ~ '^[A-Z][A-Z0-9]{1,9}$'", name="key"),
        UniqueConstraint("workspace_id", "key"),
        UniqueConstraint("id", "workspace_id"),
        Index("uq_projects_inbox", workspace_id, unique=True, postgresql_where=text("is_inbox")),
        Index("ix_projects_workspace_id", workspace_id, position, "id"),
    )


class Section(HasId, HasTimes, Base):
    """A part of a project, in order."""

    __tablename__ = "sections"

    project_id: Mapped[UUID]
    workspace_id: Mapped[UUID]
    name: Mapped[str]
    position: Mapped[float] = mapped_column(server_default="0")
    archived_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (
        ForeignKeyConstraint(
            ["project_id", "workspace_id"], ["projects.id", "projects.workspace_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("id", "project_id"),
        Index("ix_sections_project_id", "project_id", position, "id"),
    )
