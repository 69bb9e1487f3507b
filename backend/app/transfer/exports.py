"""Going out: one snapshot, read by a server-side cursor and written as it comes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from app.transfer import repository
from app.transfer.writers import Writer, writer_for

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from uuid import UUID

    from sqlalchemy import RowMapping

    from app.access.scope import Scope
    from app.infra.database import Database

ExportFormat = Literal["json", "csv", "todotxt", "icalendar"]
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, as an attachment.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            **{media: {"schema": {"type": "string"}} for media in ("text/csv", "text/plain", "text/calendar")},
        },
    }
}
_FLUSH = 65_536
"""Bytes that are collected before they are sent."""


class Export:
    """A snapshot that is open; `body` must be read to its end or closed."""

    def __init__(self, writer: Writer, rows: AsyncGenerator[RowMapping, None], first: RowMapping | None) -> None:
        self.writer = writer
        self.stack = AsyncExitStack()
        self._rows = rows
        self._first = first

    async def body(self) -> AsyncIterator[bytes]:
        """The file in pieces."""
        async with self.stack:
            buffer = bytearray(self.writer.begin())
            if self._first is not None:
                buffer += self.writer.task(_outward(self._first))
                async for row in self._rows:
                    buffer += self.writer.task(_outward(row))
                    if len(buffer) >= _FLUSH:
                        yield bytes(buffer)
                        buffer.clear()
            yield bytes(buffer) + self.writer.end()


async def begin(
    database: Database, scope: Scope, kind: ExportFormat, project_ids: Sequence[UUID] | None, now: datetime
) -> Export:
    """Opens the snapshot and reads the first row, so that trouble with the database is an answer and not half a file."""
    stack = AsyncExitStack()
    try:
        connection = await stack.enter_async_context(database.snapshot(60))
        rows = repository.export(connection, scope.workspace_ids, project_ids)
        stack.push_async_callback(rows.aclose)
        first = await anext(rows, None)
    except BaseException:
        await stack.aclose()
        raise
    export = Export(writer_for(kind, now=now, zone=ZoneInfo("UTC")), rows, first)
    export.stack = stack
    return export


def _outward(row: RowMapping) -> dict[str, Any]:
    """A row in the writers' words: ids are text, what is empty is left out."""
    task = {name: value for name, value in row.items() if value is not None}
    for name in ("id", "workspace_id", "project_id", "section_id", "parent_id", "created_by"):
        if name in task:
            task[name] = str(task[name])
    for comment in task.get("comments", ()):
        comment["created_at"] = datetime.fromisoformat(comment["created_at"])
    return task
