"""Writing the record: one row for each mutation, in its transaction, after the resource's own row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, literal, select

from app.models import Change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Update
    from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it; what is done in one go shares `operation_id`."""

    user_id: UUID | None
    operation_id: UUID
    session_id: UUID | None = None
    job_id: UUID | None = None
    trace_id: str | None = None

    def columns(self) -> dict[str, Any]:
        return {
            "user_id": self.user_id,
            "operation_id": self.operation_id,
            "session_id": self.session_id,
            "job_id": self.job_id,
            "trace_id": self.trace_id,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One mutation: `before` and `after` hold the touched fields only, as JSON values."""

    workspace_id: UUID
    resource: str
    resource_id: UUID
    version: int
    action: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    task_id: UUID | None = None

    def columns(self) -> dict[str, Any]:
        return {
            "workspace_id": self.workspace_id,
            "resource": self.resource,
            "resource_id": self.resource_id,
            "version": self.version,
            "action": self.action,
            "before": self.before,
            "after": self.after,
            "task_id": self.task_id,
        }


async def record(session: AsyncSession, actor: Actor, entries: Sequence[Entry]) -> None:
    """Writes the entries in their order. The rows they speak of must be written already: their locks give the order."""
    if entries:
        await session.execute(insert(Change), [{**actor.columns(), **entry.columns()} for entry in entries])


async def record_tasks(session: AsyncSession, actor: Actor, written: Update, action: str) -> None:
    """Executes `written`, an update of any number of tasks, and records each of them, in one statement.

    `written` returns `workspace_id, id, version, before, after`; no row passes through this process.
    """
    rows = written.cte("written")
    fixed = {"resource": "task", "action": action, **actor.columns()}
    columns = {
        "workspace_id": rows.c.workspace_id,
        "resource_id": rows.c.id,
        "task_id": rows.c.id,
        "version": rows.c.version,
        "before": rows.c.before,
        "after": rows.c.after,
        **{name: literal(value, Change.__table__.c[name].type) for name, value in fixed.items()},
    }
    await session.execute(insert(Change).from_select(list(columns), select(*columns.values())))
