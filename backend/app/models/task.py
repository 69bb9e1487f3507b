from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes, one_of

STATUSES = ("todo", "in_progress", "blocked", "done", "cancelled")
CLOSED_STATUSES = ("done", "cancelled")
PRIORITIES = ("none", "low", "medium", "high", "urgent")
"""In rank order, lowest first."""

# taskapi_search_document is an immutable SQL function made by the first migration: simple and unaccented English forms.
_SEARCH = "taskapi_search_document(title, description)"
LIVE = "deleted_at IS NULL AND archived_at IS NULL"


class Task(HasId, HasTimes, Base):
    """A user's to-do item. `workspace_id` is that of its project; the project's key and `number` make its own."""

    __tablename__ = "tasks"

    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID]
    section_id: Mapped[UUID | None]
    parent_id: Mapped[UUID | None]
    number: Mapped[int]
    key: Mapped[str]
    """`<project key>-<number>` at creation; it stays when the task moves to another project."""
    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default="todo")
    priority: Mapped[str] = mapped_column(server_default="none")
    start_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    estimate_minutes: Mapped[int | None]
    recurrence: Mapped[dict[str, Any] | None]
    """`{"rrule": ..., "time_zone": ...}`: an RFC 5545 RRULE value and an IANA zone."""
    position: Mapped[float] = mapped_column(server_default="0")
    completed_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    source: Mapped[dict[str, Any] | None]
    """Where an import found it, and what of it has no home in this table."""
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version: Mapped[int] = mapped_column(server_default="1")
    search: Mapped[Any] = mapped_column(TSVECTOR, Computed(_SEARCH, persisted=True), deferred=True)

    __table_args__ = (
        ForeignKeyConstraint(
            ["project_id", "workspace_id"], ["projects.id", "projects.workspace_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["section_id", "project_id"], ["sections.id", "sections.project_id"]),
        ForeignKeyConstraint(["parent_id", "workspace_id"], ["tasks.id", "tasks.workspace_id"]),
        UniqueConstraint("id", "workspace_id"),
        UniqueConstraint("workspace_id", "key"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(one_of("priority", PRIORITIES), name="priority"),
        CheckConstraint("char_length(title) BETWEEN 1 AND 500", name="title"),
        CheckConstraint("(status = 'done') = (completed_at IS NOT NULL)", name="completed_at"),
        CheckConstraint("estimate_minutes >= 0", name="estimate_minutes"),
        CheckConstraint("parent_id <> id", name="parent_id"),
        Index("ix_tasks_newest", "workspace_id", text("created_at DESC"), text("id DESC"), postgresql_where=text(LIVE)),
        Index(
            "ix_tasks_due",
            "workspace_id",
            status,
            priority,
            text("coalesce(due_at, 'infinity'::timestamptz)"),
            "id",
            postgresql_where=text(LIVE),
        ),
        Index("ix_tasks_project_id", "project_id", position, "id"),
        Index("ix_tasks_section_id", "section_id", postgresql_where=text("section_id IS NOT NULL")),
        Index("ix_tasks_parent_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index("ix_tasks_updated", "workspace_id", "updated_at", "id"),
        Index("ix_tasks_deleted", "workspace_id", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        Index("ix_tasks_search", search, postgresql_using="gin"),
        Index("ix_tasks_title_trigram", "title", postgresql_using="gin", postgresql_ops={"title": "gin_trgm_ops"}),
    )


class TaskLabel(Base):
    __tablename__ = "task_labels"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    label_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]

    __table_args__ = (
        ForeignKeyConstraint(["task_id", "workspace_id"], ["tasks.id", "tasks.workspace_id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["label_id", "workspace_id"], ["labels.id", "labels.workspace_id"], ondelete="CASCADE"),
        Index("ix_task_labels_label_id", label_id),
    )


class TaskAssignee(Base):
    """Only members of the task's workspace can be assigned."""

    __tablename__ = "task_assignees"

    task_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]

    __table_args__ = (
        ForeignKeyConstraint(["task_id", "workspace_id"], ["tasks.id", "tasks.workspace_id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["workspace_id", "user_id"],
            ["workspace_members.workspace_id", "workspace_members.user_id"],
            ondelete="CASCADE",
        ),
        Index("ix_task_assignees_user_id", user_id),
    )


class TaskReminder(HasId, Base):
    """A moment at which the task's people want to be reminded: it is imported and exported. Nothing fires it yet.

    `fired_at` is set on import for what is past already, so that it never will be.
    """

    __tablename__ = "task_reminders"

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    remind_at: Mapped[datetime]
    fired_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("task_id", "remind_at"),)


class Comment(HasId, HasTimes, Base):
    __tablename__ = "comments"

    task_id: Mapped[UUID]
    workspace_id: Mapped[UUID]
    author_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    author_name: Mapped[str | None]
    """Who wrote it where it came from, for imported comments."""
    body: Mapped[str]
    version: Mapped[int] = mapped_column(server_default="1")
    search: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("taskapi_search_document(NULL, body)", persisted=True), deferred=True
    )

    __table_args__ = (
        ForeignKeyConstraint(["task_id", "workspace_id"], ["tasks.id", "tasks.workspace_id"], ondelete="CASCADE"),
        Index("ix_comments_task_id", "task_id", "created_at", "id"),
        Index("ix_comments_search", search, postgresql_using="gin"),
    )
