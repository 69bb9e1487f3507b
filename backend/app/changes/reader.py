"""Reading the record: the history of one task, and the feed that misses nothing.

Identity values are drawn before commit, so "id greater than the last seen" skips what commits late. A reader's cursor
is therefore a snapshot: a page is what the present one sees and the cursor's did not. Nothing waits, nothing locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, cast, func, literal_column, select, text

from app.models import Change

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_COLUMNS = tuple(column for column in Change.__table__.columns if column.name != "xact")


@dataclass(frozen=True, slots=True)
class FeedCursor:
    """`old`: the snapshot up to which everything was seen. While a batch is read in pages, `batch` is the snapshot that
    bounds it and `last_id` the last row handed out; between batches both are empty.
    """

    old: str
    batch: str | None = None
    last_id: int = 0


async def snapshot(session: AsyncSession) -> FeedCursor:
    """Where a reader starts that wants all changes from now on."""
    return FeedCursor(str(await session.scalar(select(cast(func.pg_current_snapshot(), String)))))


async def read_feed(
    session: AsyncSession, workspace_ids: Sequence[UUID], cursor: FeedCursor, limit: int
) -> tuple[list[dict[str, Any]], FeedCursor]:
    """At most `limit` changes in id order, and where to go on. An empty page moves the cursor too."""
    batch = cursor.batch or (await snapshot(session)).old
    seen = "pg_visible_in_snapshot(xact, CAST(:{} AS pg_snapshot))"
    unseen = text(
        f"xact >= pg_snapshot_xmin(CAST(:old AS pg_snapshot)) AND NOT {seen.format('old')} AND {seen.format('batch')}"
    ).bindparams(old=cursor.old, batch=batch)
    query = (
        select(*_COLUMNS)
        .where(Change.workspace_id.in_(workspace_ids), unseen, Change.id > cursor.last_id)
        .order_by(Change.id)
        .limit(limit)
    )
    rows = [dict(row) for row in (await session.execute(query)).mappings()]
    if len(rows) < limit:
        return rows, FeedCursor(batch)
    return rows, FeedCursor(cursor.old, batch, rows[-1]["id"])


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
