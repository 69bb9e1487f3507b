"""Reading the record: the history of one task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import literal_column, select

from app.models import Change

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_COLUMNS = tuple(column for column in Change.__table__.columns if column.name != "xact")


async def history_of_task(
    session: AsyncSession, task_id: UUID, workspace_ids: Sequence[UUID], *, before_id: int | None, limit: int
) -> list[dict[str, Any]]:
    """The changes of a task and of what hangs on it, newest first."""
    query = (
        select(*_COLUMNS)
        .where(Change.task_id == task_id, Change.workspace_id.in_(workspace_ids))
        .where(Change.id < before_id if before_id is not None else literal_column("true"))
        .order_by(Change.id.desc())
        .limit(limit)
    )
    return [dict(row) for row in (await session.execute(query)).mappings()]
