"""All SQL of coming in and going out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from app.models import Change, Comment, Project, Task, TaskReminder, User, WorkspaceMember

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from app.infra.database import Database

BATCH = 500


async def project(session: AsyncSession, project_id: UUID | None, workspace_id: UUID) -> Project | None:
    """The live project, or the workspace's inbox where none is named."""
    query = select(Project).where(
        Project.workspace_id == workspace_id, Project.deleted_at.is_(None), Project.archived_at.is_(None)
    )
    wanted = Project.is_inbox if project_id is None else Project.id == project_id
    return await session.scalar(query.where(wanted))


async def workspace_of_project(session: AsyncSession, project_id: UUID, workspace_ids: Sequence[UUID]) -> UUID | None:
    query = select(Project.workspace_id).where(
        Project.id == project_id,
        Project.workspace_id.in_(workspace_ids),
        Project.deleted_at.is_(None),
        Project.archived_at.is_(None),
    )
    return await session.scalar(query)


async def members(session: AsyncSession, workspace_id: UUID) -> list[Any]:
    """`id, email, name` of everyone in the workspace."""
    query = select(User.id, User.email, User.name).join(WorkspaceMember, WorkspaceMember.user_id == User.id)
    return list(await session.execute(query.where(WorkspaceMember.workspace_id == workspace_id)))


async def titles_there(session: AsyncSession, workspace_id: UUID, titles: Sequence[str]) -> int:
    """How many of the titles a live task of the workspace has already."""
    query = select(func.count(Task.title.distinct())).where(
        Task.workspace_id == workspace_id, Task.deleted_at.is_(None), Task.title.in_(titles)
    )
    return int(await session.scalar(query) or 0)


async def insert_comments(session: AsyncSession, rows: Sequence[Mapping[str, Any]], actor: Mapping[str, Any]) -> None:
    """Comments with their changes."""
    if not rows:
        return
    await session.execute(insert(Comment), list(rows))
    entries = [
        {
            **actor,
            "workspace_id": row["workspace_id"],
            "resource": "comment",
            "resource_id": row["id"],
            "task_id": row["task_id"],
            "version": 1,
            "action": "created",
            "before": None,
            "after": {"body": row["body"]},
        }
        for row in rows
    ]
    await session.execute(insert(Change), entries)


async def insert_reminders(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        await session.execute(pg_insert(TaskReminder).on_conflict_do_nothing(), list(rows))


# Names beside ids, so that what goes out can come in elsewhere. Parents come before their subtasks where they are older,
# which they are unless somebody moved them; the reader takes either order.
_EXPORT = text("""
    SELECT t.id, t.key, t.workspace_id, t.project_id, p.name AS project, t.section_id, s.name AS section, t.parent_id,
        t.title, t.description, t.status, t.priority, t.start_at, t.due_at, t.estimate_minutes, t.recurrence, t.position,
        t.completed_at, t.archived_at, t.source, t.created_by, t.created_at, t.updated_at, t.version,
        ARRAY(SELECT l.name FROM task_labels tl JOIN labels l ON l.id = tl.label_id
              WHERE tl.task_id = t.id ORDER BY lower(l.name)) AS labels,
        ARRAY(SELECT u.email FROM task_assignees ta JOIN users u ON u.id = ta.user_id
              WHERE ta.task_id = t.id ORDER BY lower(u.email)) AS assignees,
        ARRAY(SELECT r.remind_at FROM task_reminders r WHERE r.task_id = t.id ORDER BY r.remind_at) AS reminders,
        (SELECT jsonb_agg(jsonb_build_object('body', c.body, 'author', coalesce(c.author_name, u.name, u.email),
                'created_at', c.created_at) ORDER BY c.created_at, c.id)
         FROM comments c LEFT JOIN users u ON u.id = c.author_id WHERE c.task_id = t.id) AS comments,
        (SELECT nullif(count(*), 0) FROM attachments a WHERE a.task_id = t.id) AS attachment_count,
        EXISTS (SELECT FROM tasks below WHERE below.parent_id = t.id AND below.deleted_at IS NULL) AS has_subtasks
    FROM tasks t JOIN projects p ON p.id = t.project_id LEFT JOIN sections s ON s.id = t.section_id
    WHERE t.workspace_id = ANY (CAST(:workspace_ids AS uuid[])) AND t.deleted_at IS NULL
        AND (CAST(:project_ids AS uuid[]) IS NULL OR t.project_id = ANY (CAST(:project_ids AS uuid[])))
    ORDER BY t.created_at, t.position, t.id
""")


async def export(
    connection: AsyncConnection, workspace_ids: Sequence[UUID], project_ids: Sequence[UUID] | None
) -> AsyncGenerator[RowMapping, None]:
    """Live tasks, archived ones too, the oldest first; at most a batch of them is in memory."""
    params = {"workspace_ids": list(workspace_ids), "project_ids": list(project_ids) if project_ids else None}
    async with connection.stream(_EXPORT, params, execution_options={"yield_per": BATCH}) as rows:
        async for row in rows.mappings():
            yield row


_FILES = text("""
    SELECT a.id, t.key, f.storage_key, f.name, f.size
    FROM attachments a JOIN tasks t ON t.id = a.task_id JOIN stored_files f ON f.attachment_id = a.id
    WHERE a.workspace_id = :workspace_id AND t.deleted_at IS NULL AND f.thumbnail IS NULL
        AND (CAST(:after AS uuid) IS NULL OR a.id > :after)
    ORDER BY a.id LIMIT :batch
""")


async def attachments(database: Database, workspace_id: UUID) -> AsyncIterator[RowMapping]:
    """Those of live tasks as `id, key, storage_key, name, size`. No connection is held while one of them is read."""
    after: UUID | None = None
    while True:
        async with database.session() as session:
            params = {"workspace_id": workspace_id, "after": after, "batch": BATCH}
            batch = list((await session.execute(_FILES, params)).mappings())
        for row in batch:
            yield row
        if len(batch) < BATCH:
            return
        after = batch[-1]["id"]
