"""The project or section that a request changes: writable, locked, and of the version that `If-Match` names."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from app.identity.dependencies import CurrentCaller
from app.models import Project, Section
from app.projects import service
from app.web.preconditions import IfMatch, require_match
from app.web.session import SessionDep, SettingsDep


async def project_to_change(
    caller: CurrentCaller, project_id: UUID, session: SessionDep, settings: SettingsDep, if_match: IfMatch = None
) -> Project:
    project = await service.lock_project(session, caller.scope, project_id)
    require_match(if_match, project.version, required=settings.require_if_match)
    return project


async def section_to_change(
    caller: CurrentCaller,
    project_id: UUID,
    section_id: UUID,
    session: SessionDep,
    settings: SettingsDep,
    if_match: IfMatch = None,
) -> Section:
    section = await service.lock_section(session, caller.scope, project_id, section_id)
    require_match(if_match, section.version, required=settings.require_if_match)
    return section


ProjectToChange = Annotated[Project, Depends(project_to_change)]
SectionToChange = Annotated[Section, Depends(section_to_change)]
