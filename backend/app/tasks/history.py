"""What became of one task, from the record of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from app.changes.reader import history_of_task
from app.kit.errors import NotFound
from app.models import Task
from app.tasks.schemas import ChangeOut

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope
    from app.kit.pagination import CursorCodec

_FIELDS = tuple(ChangeOut.__annotations__)


async def page(
    session: AsyncSession, scope: Scope, task_id: UUID, limit: int, cursor: str | None, cursors: CursorCodec
) -> dict[str, Any]:
    """Newest first. A task in the trash still has its history; raises NotFound for one that is not the caller's."""
    mine = select(Task.id).where(Task.id == task_id, Task.workspace_id.in_(scope.workspace_ids))
    if await session.scalar(mine) is None:
        raise NotFound
    binding = f"history {task_id}"
    before_id = cursors.decode(binding, cursor, 1)[0] if cursor else None
    rows = await history_of_task(session, task_id, scope.workspace_ids, before_id=before_id, limit=limit + 1)
    items = [{name: row[name] for name in _FIELDS} for row in rows[:limit]]
    more = len(rows) > limit
    return {"items": items, "next_cursor": cursors.encode(binding, [items[-1]["id"]]) if more else None}
