"""`/projects` and their sections over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from app.changes.editing import edit
from app.identity.dependencies import CurrentCaller
from app.projects import service
from app.projects.dependencies import ProjectToChange, SectionToChange, project_to_change, section_to_change
from app.projects.schemas import (
    ProjectCreate,
    ProjectOut,
    ProjectPage,
    ProjectQuery,
    ProjectUpdate,
    SectionCreate,
    SectionOut,
    SectionPage,
    SectionQuery,
    SectionUpdate,
)
from app.web.preconditions import IfMatch, IfNoneMatch
from app.web.query import SentQuery
from app.web.responses import tagged, unless_known
from app.web.routing import Route
from app.web.session import CursorsDep, SessionDep, SettingsDep, WorkDep

router = APIRouter(prefix="/projects", tags=["projects"], route_class=Route)
PROJECT = "/{project_id:uuid}"
SECTIONS = PROJECT + "/sections"
SECTION = SECTIONS + "/{section_id:uuid}"
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "You have the current version"}}


@router.get("", response_model=ProjectPage, summary="List projects")
async def list_projects(
    caller: CurrentCaller,
    query: Annotated[ProjectQuery, Depends(SentQuery(ProjectQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """Your projects in their order, in pages. Archived ones are listed on request only."""
    return await service.list_projects(work, cursors, caller.scope, caller.user_id, query)


@router.post("", status_code=201, response_model=ProjectOut, summary="Create a project")
async def create_project(caller: CurrentCaller, body: ProjectCreate, session: SessionDep, response: Response) -> Any:
    """The name alone is enough: the project goes to your personal workspace, its key is made from the name."""
    fields = body.model_dump(exclude_none=True, exclude={"workspace_id"})
    project = await service.create_project(session, caller.scope, caller.actor(), fields, body.workspace_id)
    return tagged(response, project, location=f"/projects/{project.id}")


@router.get(PROJECT, response_model=ProjectOut, summary="Read a project", responses=NOT_MODIFIED)
async def read_project(
    caller: CurrentCaller, project_id: UUID, work: WorkDep, response: Response, if_none_match: IfNoneMatch = None
) -> Any:
    return unless_known(response, await service.get_project(work, caller.scope, project_id), if_none_match)


@router.patch(PROJECT, response_model=ProjectOut, summary="Change a project")
async def update_project(
    caller: CurrentCaller,
    project_id: UUID,
    body: ProjectUpdate,
    session: SessionDep,
    settings: SettingsDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """A JSON merge patch: only the fields sent are touched. The key never changes, so that task keys stay true."""
    # Called, not depended on: what is wrong with the body comes before a stale If-Match (RFC 9110 13.2.1).
    project = await project_to_change(caller, project_id, session, settings, if_match)
    return tagged(response, await edit(session, caller.actor(), project, body.model_dump()))


@router.delete(PROJECT, status_code=204, summary="Delete a project")
async def delete_project(caller: CurrentCaller, project: ProjectToChange, session: SessionDep) -> None:
    """Its tasks go to the trash with it; `POST /projects/{project_id}/restore` brings them back together. Its key stays
    taken. The inbox cannot be deleted.
    """
    await service.delete_project(session, caller.actor(), project)


@router.post(PROJECT + "/restore", response_model=ProjectOut, summary="Restore a deleted project")
async def restore_project(caller: CurrentCaller, project_id: UUID, session: SessionDep, response: Response) -> Any:
    """The project, and those of its tasks that went to the trash with it and were not purged since."""
    return tagged(response, await service.restore_project(session, caller.scope, caller.actor(), project_id))


@router.post(PROJECT + "/archive", response_model=ProjectOut, summary="Archive a project")
async def archive_project(
    caller: CurrentCaller, project: ProjectToChange, session: SessionDep, response: Response
) -> Any:
    """An archived project takes no new tasks and is listed on request only; its tasks stay as they are."""
    return tagged(response, await service.set_archived(session, caller.actor(), project, archived=True))


@router.post(PROJECT + "/unarchive", response_model=ProjectOut, summary="Take a project out of the archive")
async def unarchive_project(
    caller: CurrentCaller, project: ProjectToChange, session: SessionDep, response: Response
) -> Any:
    """The project is listed again and takes tasks."""
    return tagged(response, await service.set_archived(session, caller.actor(), project, archived=False))


@router.get(SECTIONS, response_model=SectionPage, summary="List the sections of a project")
async def list_sections(
    caller: CurrentCaller,
    project_id: UUID,
    query: Annotated[SectionQuery, Depends(SentQuery(SectionQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """In their order, in pages. Archived ones are listed on request only."""
    return await service.list_sections(work, cursors, caller.scope, caller.user_id, project_id, query)


@router.post(SECTIONS, status_code=201, response_model=SectionOut, summary="Create a section in a project")
async def create_section(
    caller: CurrentCaller, project_id: UUID, body: SectionCreate, session: SessionDep, response: Response
) -> Any:
    project = await service.lock_project(session, caller.scope, project_id)
    section = await service.create_section(session, caller.actor(), project, body.model_dump(exclude_none=True))
    return tagged(response, section, location=f"/projects/{project_id}/sections/{section.id}")


@router.get(SECTION, response_model=SectionOut, summary="Read a section", responses=NOT_MODIFIED)
async def read_section(
    caller: CurrentCaller,
    project_id: UUID,
    section_id: UUID,
    work: WorkDep,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Any:
    section = await service.get_section(work, caller.scope, project_id, section_id)
    return unless_known(response, section, if_none_match)


@router.patch(SECTION, response_model=SectionOut, summary="Change a section")
async def update_section(
    caller: CurrentCaller,
    project_id: UUID,
    section_id: UUID,
    body: SectionUpdate,
    session: SessionDep,
    settings: SettingsDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """A JSON merge patch: only the fields sent are touched."""
    section = await section_to_change(caller, project_id, section_id, session, settings, if_match)
    return tagged(response, await edit(session, caller.actor(), section, body.model_dump()))


@router.delete(SECTION, status_code=204, summary="Delete a section")
async def delete_section(caller: CurrentCaller, section: SectionToChange, session: SessionDep) -> None:
    """Its tasks stay in the project, outside of any section."""
    await service.delete_section(session, caller.actor(), section)


@router.post(SECTION + "/archive", response_model=SectionOut, summary="Archive a section")
async def archive_section(
    caller: CurrentCaller, section: SectionToChange, session: SessionDep, response: Response
) -> Any:
    """An archived section is listed on request only; its tasks stay as they are."""
    return tagged(response, await service.set_archived(session, caller.actor(), section, archived=True))


@router.post(SECTION + "/unarchive", response_model=SectionOut, summary="Take a section out of the archive")
async def unarchive_section(
    caller: CurrentCaller, section: SectionToChange, session: SessionDep, response: Response
) -> Any:
    return tagged(response, await service.set_archived(session, caller.actor(), section, archived=False))
