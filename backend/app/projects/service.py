"""The rules of projects and sections. Nothing here commits."""

from __future__ import annotations

import re
import unicodedata
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from app.changes.editing import edit, edit_tasks, record_created, remove
from app.changes.recorder import Actor
from app.kit.clock import utc_now
from app.kit.errors import NotFound
from app.kit.ids import new_id
from app.models import Project, Section, Task
from app.projects import repository
from app.projects.errors import InboxStays, ProjectKeyExists

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope
    from app.infra.statements import Statement
    from app.infra.work import Work
    from app.kit.pagination import CursorCodec
    from app.projects.schemas import ProjectQuery, SectionQuery

KEY_MIN, KEY_MAX = 2, 10
_NO_LETTERS = "PROJECT"
"""The key of a name without Latin letters."""


def key_from(name: str) -> str:
    """The initials of several words, or one word as it is: 2 to 10 of A-Z and 0-9, a letter first."""
    latin = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
    words = re.findall(r"[A-Z0-9]+", latin)
    initials = "".join(word[0] for word in words) if len(words) > 1 else ""
    for letters in (initials, "".join(words)):
        key = letters.lstrip("0123456789")[:KEY_MAX]
        if len(key) >= KEY_MIN:
            return key
    return _NO_LETTERS


def _numbered(key: str, taken: set[str]) -> Iterator[str]:
    if key not in taken:
        yield key
    for number in count(2):
        numbered = f"{key[: KEY_MAX - len(str(number))]}{number}"
        if numbered not in taken:
            yield numbered


async def create_project(
    session: AsyncSession, scope: Scope, actor: Actor, fields: Mapping[str, Any], workspace_id: UUID | None
) -> Project:
    """`fields` are columns; `key` is made from the name when it is left out.

    Raises InvalidReference for a workspace that the caller does not see, RoleTooLow, ProjectKeyExists.
    """
    return await _create(session, actor, {"workspace_id": scope.target(workspace_id), **fields})


async def _create(session: AsyncSession, actor: Actor, fields: Mapping[str, Any]) -> Project:
    values = {"id": new_id(), "created_by": actor.user_id, **fields}
    if "key" in fields:
        keys = iter([fields["key"]])
    else:
        keys = _numbered(key_from(fields["name"]), await repository.keys_of(session, fields["workspace_id"]))
    for key in keys:
        project = await repository.insert_project(session, {**values, "key": key})
        if project is not None:
            await record_created(session, actor, project)
            return project
    raise ProjectKeyExists


async def create_inbox(session: AsyncSession, workspace_id: UUID, user_id: UUID) -> Project:
    """The project of a new workspace for tasks that name none."""
    inbox = {"workspace_id": workspace_id, "key": "INBOX", "name": "Inbox", "is_inbox": True, "position": 0}
    return await _create(session, Actor(user_id, new_id()), inbox)


async def project_named(session: AsyncSession, actor: Actor, workspace_id: UUID, name: str) -> Project:
    """The project of this name, whatever its case, not archived; made where there is none."""
    found = await repository.project_named(session, workspace_id, name)
    return found or await _create(session, actor, {"workspace_id": workspace_id, "name": name})


async def list_projects(
    work: Work, cursors: CursorCodec, scope: Scope, caller_id: UUID, query: ProjectQuery
) -> dict[str, Any]:
    """Raises InvalidInput for an unknown sort key or a foreign cursor."""
    filters = {"workspace_ids": scope.among(query.workspace), "archived": query.archived}
    return await repository.PROJECTS.page(work, cursors, query, filters, caller_id)


async def get_project(work: Work, scope: Scope, project_id: UUID) -> dict[str, Any]:
    return await _one(work, repository.PROJECT, {"workspace_ids": scope.workspace_ids, "project_id": project_id})


async def _one(work: Work, statement: Statement, params: Mapping[str, Any]) -> dict[str, Any]:
    rows = await work.fetch(statement, params)
    if not rows:
        raise NotFound
    return dict(rows[0])


async def lock_project(session: AsyncSession, scope: Scope, project_id: UUID, *, also_deleted: bool = False) -> Project:
    """The project to be changed. Raises NotFound, RoleTooLow."""
    project = await repository.lock_project(session, scope.workspace_ids, project_id)
    if project is None or (project.deleted_at is not None and not also_deleted):
        raise NotFound
    scope.require(project.workspace_id)
    return project


async def set_archived(session: AsyncSession, actor: Actor, row: Any, *, archived: bool) -> Any:
    """A locked project or section into the archive or out of it; its tasks stay as they are. Raises InboxStays."""
    if archived == (row.archived_at is not None):
        return row
    if archived and getattr(row, "is_inbox", False):
        raise InboxStays
    return await edit(
        session, actor, row, {"archived_at": utc_now() if archived else None}, "archived" if archived else "unarchived"
    )


async def delete_project(session: AsyncSession, actor: Actor, project: Project) -> None:
    """Its tasks go to the trash with it; their subtasks in other projects stand alone then. Raises InboxStays."""
    if project.is_inbox:
        raise InboxStays
    inside = Task.project_id == project.id
    outside = Task.parent_id.in_(select(Task.id).where(inside)) & ~inside & Task.deleted_at.is_(None)
    gone = {"deleted_at": utc_now()}
    await edit(session, actor, project, gone, "deleted")
    await edit_tasks(session, actor, outside, {"parent_id": None}, "updated")
    await edit_tasks(session, actor, inside & Task.deleted_at.is_(None), gone, "deleted")


async def restore_project(session: AsyncSession, scope: Scope, actor: Actor, project_id: UUID) -> Project:
    """The project with the tasks that went to the trash with it; one that is not deleted stays as it is.

    A task whose parent is in the trash still becomes a task of its own.
    """
    project = await lock_project(session, scope, project_id, also_deleted=True)
    if project.deleted_at is None:
        return project
    with_it = (Task.project_id == project.id) & (Task.deleted_at == project.deleted_at)
    back = {"deleted_at": None}
    await edit_tasks(session, actor, with_it, back, "restored")
    parents = select(Task.id).where(Task.deleted_at.is_not(None))
    stranded = (Task.project_id == project.id) & Task.deleted_at.is_(None) & Task.parent_id.in_(parents)
    await edit_tasks(session, actor, stranded, {"parent_id": None}, "updated")
    return await edit(session, actor, project, back, "restored")


async def list_sections(
    work: Work, cursors: CursorCodec, scope: Scope, caller_id: UUID, project_id: UUID, query: SectionQuery
) -> dict[str, Any]:
    """Raises NotFound for the project, InvalidInput for an unknown sort key or a foreign cursor."""
    project = await get_project(work, scope, project_id)
    filters = {"workspace_ids": scope.workspace_ids, "project_id": project["id"], "archived": query.archived}
    return await repository.SECTIONS.page(work, cursors, query, filters, caller_id)


async def get_section(work: Work, scope: Scope, project_id: UUID, section_id: UUID) -> dict[str, Any]:
    return await _one(
        work,
        repository.SECTION,
        {"workspace_ids": scope.workspace_ids, "project_id": project_id, "section_id": section_id},
    )


async def create_section(session: AsyncSession, actor: Actor, project: Project, fields: Mapping[str, Any]) -> Section:
    values = {"id": new_id(), "project_id": project.id, "workspace_id": project.workspace_id, **fields}
    section = await repository.insert_section(session, values)
    await record_created(session, actor, section)
    return section


async def section_named(
    session: AsyncSession, actor: Actor, project: Project, name: str, *, archived: bool = False
) -> Section:
    """The project's section of this name, whatever its case; made if there is none. An archived one is another one."""
    found = await repository.section_named(session, project.id, name, archived=archived)
    fields = {"name": name, "archived_at": utc_now() if archived else None}
    return found or await create_section(session, actor, project, fields)


async def lock_section(session: AsyncSession, scope: Scope, project_id: UUID, section_id: UUID) -> Section:
    """The section to be changed. Raises NotFound, RoleTooLow."""
    section = await repository.lock_section(session, scope.workspace_ids, project_id, section_id)
    if section is None:
        raise NotFound
    scope.require(section.workspace_id)
    return section


async def delete_section(session: AsyncSession, actor: Actor, section: Section) -> None:
    """Its tasks stay in the project, outside of any section."""
    await edit_tasks(session, actor, Task.section_id == section.id, {"section_id": None}, "updated")
    await remove(session, actor, section)
