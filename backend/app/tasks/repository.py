"""All SQL of tasks. Every statement takes the workspaces that the caller may read or write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Uuid,
    and_,
    any_,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

from app.changes.editing import edit_tasks
from app.infra.statements import Statement
from app.models import Change, Label, Project, Section, Task, TaskAssignee, TaskLabel, WorkspaceMember

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import RowMapping, Select, Table
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.changes.recorder import Actor

COLUMNS = (
    "id", "key", "workspace_id", "project_id", "section_id", "parent_id", "title", "description", "status", "priority",
    "start_at", "due_at", "estimate_minutes", "recurrence", "position", "completed_at", "archived_at", "deleted_at",
    "source", "created_by", "created_at", "updated_at", "version",
)  # fmt: skip
"""What every route shows of the row itself."""
WRITABLE = (
    "title", "description", "status", "priority", "project_id", "section_id", "parent_id", "start_at", "due_at",
    "estimate_minutes", "recurrence", "position",
)  # fmt: skip
INSERTABLE = (*WRITABLE, "completed_at", "archived_at", "source", "created_at")
"""What a batch may set beside its keys; an import brings states of its own."""
IDS = ARRAY(Uuid(as_uuid=True, native_uuid=True))


def in_order(table: Any, label_ids: Select[Any], assignee_ids: Select[Any]) -> list[ColumnElement[Any]]:
    links = [
        func.array(query.scalar_subquery(), type_=IDS).label(name)
        for name, query in (("label_ids", label_ids), ("assignee_ids", assignee_ids))
    ]
    after = COLUMNS.index("priority") + 1
    return [*(table.c[name] for name in COLUMNS[:after]), *links, *(table.c[name] for name in COLUMNS[after:])]


def shown(table: Any) -> list[ColumnElement[Any]]:
    """The columns of a task on the wire, in their order there, the labels and assignees as arrays of ids."""
    labels = select(TaskLabel.label_id).where(TaskLabel.task_id == table.c.id).order_by(TaskLabel.label_id)
    people = select(TaskAssignee.user_id).where(TaskAssignee.task_id == table.c.id).order_by(TaskAssignee.user_id)
    return in_order(table, labels, people)


TASKS = cast("Table", Task.__table__)
_workspaces = bindparam("workspace_ids", type_=IDS)


def within(column: Any) -> ColumnElement[bool]:
    """The scope: the row belongs to one of the caller's workspaces."""
    return cast("ColumnElement[bool]", column == any_(_workspaces))


GET = Statement(
    select(*shown(TASKS)).where(
        TASKS.c.id == bindparam("task_id"), within(TASKS.c.workspace_id), TASKS.c.deleted_at.is_(None)
    )
)
GET_TRASHED = Statement(
    select(*shown(TASKS)).where(
        TASKS.c.id == bindparam("task_id"), within(TASKS.c.workspace_id), TASKS.c.deleted_at.is_not(None)
    )
)


# --- subtrees: trash and restore -------------------------------------------------------------------------------------


def _subtree(root: ColumnElement[bool], link: Any) -> Any:
    """The ids of a task and of all below it, as far as `link` (a condition on the child) holds."""
    top = select(TASKS.c.id).where(root).cte("subtree", recursive=True)
    child = TASKS.alias("child")
    return top.union(select(child.c.id).where(child.c.parent_id == top.c.id, link(child)))


async def trash(session: AsyncSession, task_ids: Sequence[UUID], actor: Actor) -> None:
    """Puts tasks and their subtasks into the trash in one go."""
    subtree = _subtree(TASKS.c.id.in_(task_ids), lambda child: child.c.deleted_at.is_(None))
    await edit_tasks(session, actor, Task.id.in_(select(subtree.c.id)), {"deleted_at": func.now()}, "deleted")


async def restore(session: AsyncSession, task_id: UUID, actor: Actor) -> None:
    """Takes a task out of the trash, with the subtasks that went there in the same go and whose project is there."""
    operation = select(Change.operation_id).where(
        Change.resource == "task", Change.resource_id == task_id, Change.action == "deleted"
    )
    together = select(Change.resource_id).where(
        Change.action == "deleted",
        Change.operation_id == operation.order_by(Change.id.desc()).limit(1).scalar_subquery(),
    )
    projects = select(Project.id).where(Project.deleted_at.is_(None))
    subtree = _subtree(
        TASKS.c.id == task_id,
        lambda child: and_(child.c.deleted_at.is_not(None), child.c.id.in_(together), child.c.project_id.in_(projects)),
    )
    await edit_tasks(session, actor, Task.id.in_(select(subtree.c.id)), {"deleted_at": None}, "restored")


# --- references ------------------------------------------------------------------------------------------------------


async def lock(session: AsyncSession, task_id: UUID, workspace_ids: Sequence[UUID]) -> RowMapping | None:
    """The live task, locked until the transaction ends; None where there is none in these workspaces."""
    query = select(*TASKS.c[COLUMNS]).where(
        TASKS.c.id == task_id, TASKS.c.workspace_id.in_(workspace_ids), TASKS.c.deleted_at.is_(None)
    )
    return (await session.execute(query.with_for_update())).mappings().one_or_none()


async def links(session: AsyncSession, task_id: UUID) -> dict[str, list[UUID]]:
    """The label ids and assignee ids of a task, in order."""
    labels = select(TaskLabel.label_id).where(TaskLabel.task_id == task_id).order_by(TaskLabel.label_id)
    people = select(TaskAssignee.user_id).where(TaskAssignee.task_id == task_id).order_by(TaskAssignee.user_id)
    return {
        "label_ids": list(await session.scalars(labels)),
        "assignee_ids": list(await session.scalars(people)),
    }


async def set_labels(session: AsyncSession, task_id: UUID, workspace_id: UUID, label_ids: Sequence[UUID]) -> None:
    await session.execute(delete(TaskLabel).where(TaskLabel.task_id == task_id, TaskLabel.label_id.not_in(label_ids)))
    if label_ids:
        rows = [{"task_id": task_id, "label_id": label, "workspace_id": workspace_id} for label in label_ids]
        await session.execute(pg_insert(TaskLabel).values(rows).on_conflict_do_nothing())


async def set_assignees(session: AsyncSession, task_id: UUID, workspace_id: UUID, user_ids: Sequence[UUID]) -> None:
    gone = delete(TaskAssignee).where(TaskAssignee.task_id == task_id, TaskAssignee.user_id.not_in(user_ids))
    await session.execute(gone)
    if user_ids:
        rows = [{"task_id": task_id, "user_id": user, "workspace_id": workspace_id} for user in user_ids]
        await session.execute(pg_insert(TaskAssignee).values(rows).on_conflict_do_nothing())


async def project_for(
    session: AsyncSession, project_id: UUID | None, personal: UUID | None, workspace_ids: Sequence[UUID]
) -> Any | None:
    """The live project by its id, or the inbox of the personal workspace; with its workspace."""
    query = select(Project.id, Project.workspace_id, Project.key).where(
        Project.deleted_at.is_(None), Project.archived_at.is_(None), Project.workspace_id.in_(workspace_ids)
    )
    if project_id is None:
        return (await session.execute(query.where(Project.is_inbox, Project.workspace_id == personal))).one_or_none()
    return (await session.execute(query.where(Project.id == project_id))).one_or_none()


async def draw_numbers(session: AsyncSession, project_id: UUID, count: int) -> tuple[int, str]:
    """Reserves `count` numbers for keys in a project; returns the first, and the project's key."""
    drawn = update(Project).where(Project.id == project_id).values(last_task_number=Project.last_task_number + count)
    last, key = (await session.execute(drawn.returning(Project.last_task_number, Project.key))).one()
    return last - count + 1, key


async def section_exists(session: AsyncSession, section_id: UUID, project_id: UUID) -> bool:
    found = select(Section.id).where(Section.id == section_id, Section.project_id == project_id)
    return (await session.scalar(found)) is not None


async def existing_labels(session: AsyncSession, workspace_id: UUID, label_ids: Sequence[UUID]) -> set[UUID]:
    return set(
        await session.scalars(select(Label.id).where(Label.workspace_id == workspace_id, Label.id.in_(label_ids)))
    )


async def labels_by_name(session: AsyncSession, workspace_id: UUID, names: Sequence[str]) -> dict[str, UUID]:
    """Lower-cased name to id, of those that exist."""
    wanted = [name.lower() for name in names]
    query = select(func.lower(Label.name), Label.id).where(
        Label.workspace_id == workspace_id, func.lower(Label.name).in_(wanted)
    )
    return {row[0]: row[1] for row in await session.execute(query)}


async def members(session: AsyncSession, workspace_id: UUID, user_ids: Sequence[UUID]) -> set[UUID]:
    query = select(WorkspaceMember.user_id).where(
        WorkspaceMember.workspace_id == workspace_id, WorkspaceMember.user_id.in_(user_ids)
    )
    return set(await session.scalars(query))


async def ancestors(session: AsyncSession, task_id: UUID, workspace_id: UUID) -> list[UUID]:
    """The live task itself, then its parent, and so on up; empty where there is no such task."""
    query = text(
        "WITH RECURSIVE up AS (SELECT id, parent_id, 1 AS depth FROM tasks WHERE id = :task_id "
        "AND workspace_id = :workspace_id AND deleted_at IS NULL UNION ALL SELECT t.id, t.parent_id, up.depth + 1 "
        "FROM tasks t JOIN up ON t.id = up.parent_id WHERE up.depth < 1000) SELECT id FROM up ORDER BY depth"
    )
    return list(await session.scalars(query, {"task_id": task_id, "workspace_id": workspace_id}))


async def height(session: AsyncSession, task_id: UUID) -> int:
    """Levels of live subtasks below a task."""
    query = text(
        "WITH RECURSIVE down AS (SELECT id, 0 AS depth FROM tasks WHERE id = :task_id UNION ALL "
        "SELECT t.id, down.depth + 1 FROM tasks t JOIN down ON t.parent_id = down.id "
        "WHERE t.deleted_at IS NULL AND down.depth < 1000) SELECT max(depth) FROM down"
    )
    return int(await session.scalar(query, {"task_id": task_id}) or 0)


async def lock_tree(session: AsyncSession, workspace_id: UUID) -> None:
    """One change of parents at a time in a workspace: two at once could close a circle that neither sees."""
    key = int.from_bytes(workspace_id.bytes[8:], "big", signed=True)
    await session.execute(select(func.pg_advisory_xact_lock(key)))


async def purge(session: AsyncSession, task_id: UUID) -> bool:
    """Removes a trashed task for good; what hangs on it goes with it, subtasks become tasks of their own.

    False where it is not in the trash any more.
    """
    await session.execute(update(Task).where(Task.parent_id == task_id).values(parent_id=None))
    gone = delete(Task).where(Task.id == task_id, Task.deleted_at.is_not(None))
    return await session.scalar(gone.returning(Task.id)) is not None
