"""All SQL of projects and sections. What is read takes the workspaces that the caller may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, Float, Text, Uuid, any_, bindparam, case, func, select
from sqlalchemy.dialects.postgresql import insert

from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import Project, Section
from app.web.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncSession

_p, _s = Project.__table__.c, Section.__table__.c
_SCOPE = bindparam("workspace_ids", type_=ARRAY(Uuid()))
_ONE_PROJECT = bindparam("project_id", type_=Uuid())
_PROJECT = [_p[name] for name in _p.keys() if name not in {"last_task_number", "deleted_at"}]  # noqa: SIM118  no mapping
_SECTION = list(_s)


def _archived_as_asked(column: ColumnElement[Any]) -> ColumnElement[bool]:
    asked = bindparam("archived", type_=Text)
    return case((asked == "any", True), else_=(asked == "true") == column.is_not(None))


def _keys(columns: Any) -> list[Key]:
    name = func.lower(columns.name)
    plain = [Key(one, columns[one], columns[one], columns[one].type) for one in ("created_at", "id")]
    return [Key("position", columns.position, columns.position, Float(53)), Key("name", name, name, Text()), *plain]


_VISIBLE = (_p.workspace_id == any_(_SCOPE), _p.deleted_at.is_(None))
_SECTIONS = select(*_SECTION).join(Project, _p.id == _s.project_id).where(*_VISIBLE, _p.id == _ONE_PROJECT)

PROJECT = Statement(select(*_PROJECT).where(*_VISIBLE, _p.id == _ONE_PROJECT))
SECTION = Statement(_SECTIONS.where(_s.id == bindparam("section_id", type_=Uuid())))
_PROJECTS = select(*_PROJECT).where(*_VISIBLE, _archived_as_asked(_p.archived_at))
PROJECTS = Listing("projects", _PROJECTS, _keys(_p), "position")
SECTIONS = Listing("sections", _SECTIONS.where(_archived_as_asked(_s.archived_at)), _keys(_s), "position")


async def lock_project(session: AsyncSession, workspace_ids: Sequence[UUID], project_id: UUID) -> Project | None:
    """The project, deleted or not, held against every other change of it; not against tasks that refer to it."""
    query = select(Project).where(Project.id == project_id, Project.workspace_id.in_(workspace_ids))
    return await session.scalar(query.with_for_update(key_share=True))


async def lock_section(
    session: AsyncSession, workspace_ids: Sequence[UUID], project_id: UUID, section_id: UUID
) -> Section | None:
    """The section of a live project, held also against tasks that are about to refer to it."""
    query = select(Section).join(Project, Project.id == Section.project_id)
    query = query.where(Section.id == section_id, Section.project_id == project_id, Project.deleted_at.is_(None))
    return await session.scalar(query.where(Section.workspace_id.in_(workspace_ids)).with_for_update(of=Section))


async def keys_of(session: AsyncSession, workspace_id: UUID) -> set[str]:
    """All keys of a workspace, those of deleted projects too: a task's key is never given twice."""
    return set(await session.scalars(select(Project.key).where(Project.workspace_id == workspace_id)))


async def insert_project(session: AsyncSession, values: Mapping[str, Any]) -> Project | None:
    """None where the key is taken, also by a project that another transaction was just making."""
    position = _behind(Project, Project.workspace_id == values["workspace_id"])
    statement = insert(Project).values({"position": position, **values})
    unless_taken = statement.on_conflict_do_nothing(index_elements=[Project.workspace_id, Project.key])
    return (await session.scalars(unless_taken.returning(Project))).one_or_none()


async def insert_section(session: AsyncSession, values: Mapping[str, Any]) -> Section:
    position = _behind(Section, Section.project_id == values["project_id"])
    statement = insert(Section).values({"position": position, **values}).returning(Section)
    return (await session.scalars(statement)).one()


def _behind(table: Any, siblings: ColumnElement[bool]) -> Any:
    return select(func.coalesce(func.max(table.position), 0) + 1).where(siblings).scalar_subquery()


async def project_named(session: AsyncSession, workspace_id: UUID, name: str) -> Project | None:
    query = select(Project).where(Project.workspace_id == workspace_id, func.lower(Project.name) == func.lower(name))
    open_ones = query.where(Project.deleted_at.is_(None), Project.archived_at.is_(None))
    return (await session.scalars(open_ones.order_by(Project.position, Project.id).limit(1))).one_or_none()


async def section_named(session: AsyncSession, project_id: UUID, name: str, *, archived: bool) -> Section | None:
    query = select(Section).where(Section.project_id == project_id, func.lower(Section.name) == func.lower(name))
    of_state = query.where(Section.archived_at.is_not(None) == archived)
    return (await session.scalars(of_state.order_by(Section.position, Section.id).limit(1))).one_or_none()
