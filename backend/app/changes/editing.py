"""Creating, changing and removing rows of versioned resources: the row first, then its entry in the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import func, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB

from app.changes.recorder import Entry, record, record_tasks
from app.models import Base, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.changes.recorder import Actor

    Fields = Mapping[str, Any]

Row = TypeVar("Row", bound=Base)
_SAID_ELSEWHERE = {"id", "workspace_id", "version", "created_at", "updated_at"}


def _entry(row: Any, version: int, action: str, before: Fields | None, after: Fields | None) -> Entry:
    # A resource is named like its class; what hangs on a task says so.
    task_id = getattr(row, "task_id", None)
    return Entry(row.workspace_id, type(row).__name__.lower(), row.id, version, action, before, after, task_id)


def _values(row: Base) -> dict[str, Any]:
    columns = [column for column in row.__table__.columns if column.computed is None]
    names = [column.name for column in columns if column.name not in _SAID_ELSEWHERE]
    return {name: value for name in names if (value := getattr(row, name)) is not None}


async def record_created(session: AsyncSession, actor: Actor, *rows: Any) -> None:
    """The rows were inserted already."""
    await record(session, actor, [_entry(row, row.version, "created", None, _values(row)) for row in rows])


async def edit(session: AsyncSession, actor: Actor, row: Row, values: Fields, action: str = "updated") -> Row:
    """The row's next version, with these values. Where it has them all already, nothing changes, its version neither.

    The caller holds the row's lock.
    """
    before = {name: getattr(row, name) for name, value in values.items() if getattr(row, name) != value}
    if not before:
        return row
    table: Any = type(row)
    statement = (
        update(table)
        .where(table.id == row.id)  # type: ignore[attr-defined]
        .values(**values, version=table.version + 1, updated_at=func.clock_timestamp())
        .returning(table)
    )
    options = {"populate_existing": True, "synchronize_session": False}
    written: Any = (await session.scalars(statement, execution_options=options)).one()
    after = {name: getattr(written, name) for name in before}
    await record(session, actor, [_entry(written, written.version, action, before, after)])
    return written  # type: ignore[no-any-return]


async def remove(session: AsyncSession, actor: Actor, row: Any) -> None:
    """Deletes the row for good; the record keeps what it was, under the version after its last."""
    await session.delete(row)
    await session.flush()  # before its entry
    await record(session, actor, [_entry(row, row.version + 1, "deleted", _values(row), None)])


async def edit_tasks(
    session: AsyncSession, actor: Actor, which: ColumnElement[bool], values: Fields, action: str
) -> None:
    """The next version, with these values, of every task that meets `which`; one statement for any number of them."""
    # Locked in one order, so that two of these never wait for each other.
    locked = select(Task.id, *(getattr(Task, name) for name in values)).where(which).order_by(Task.id).with_for_update()
    old = locked.cte("old")
    written = (
        update(Task)
        .where(Task.id == old.c.id)
        .values(**values, version=Task.version + 1, updated_at=func.clock_timestamp())
        .returning(
            Task.workspace_id,
            Task.id,
            Task.version,
            _object({name: old.c[name] for name in values}).label("before"),
            _object({name: getattr(Task, name) for name in values}).label("after"),
        )
    )
    await record_tasks(session, actor, written, action)


def _object(fields: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    pairs = [part for name, value in fields.items() for part in (literal_column(f"'{name}'"), value)]
    return func.jsonb_build_object(*pairs, type_=JSONB)
