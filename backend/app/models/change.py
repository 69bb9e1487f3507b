from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from app.models.base import Base


class Xid8(UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id, carried as text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


class Change(Base):
    """One mutation of one shared resource, written in its transaction after the resource's own row.

    `id` is drawn under that row's lock, so it orders the versions of a resource; `xact` lets a reader find what
    committed since its snapshot, whatever order the commits took (docs/adr/0004).
    """

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    xact: Mapped[Any] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    workspace_id: Mapped[UUID]
    resource: Mapped[str]
    resource_id: Mapped[UUID]
    task_id: Mapped[UUID | None]
    """The task that this belongs to, for the task itself and for what hangs on it (comments, attachments)."""
    version: Mapped[int]
    action: Mapped[str]
    operation_id: Mapped[UUID]
    """What was done in one go (one request, one bulk, one batch of an import) shares it."""
    user_id: Mapped[UUID | None]
    session_id: Mapped[UUID | None]
    job_id: Mapped[UUID | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    trace_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    __table_args__ = (
        Index("ix_changes_task_id", "task_id", text("id DESC"), postgresql_where=text("task_id IS NOT NULL")),
        Index("ix_changes_created_at", created_at),
    )
