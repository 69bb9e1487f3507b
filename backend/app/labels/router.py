"""`/labels` over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from app.identity.dependencies import CurrentCaller
from app.labels import service
from app.labels.dependencies import LabelToChange, label_to_change
from app.labels.schemas import LabelCreate, LabelOut, LabelPage, LabelQuery, LabelUpdate
from app.web.preconditions import IfMatch, IfNoneMatch
from app.web.query import SentQuery
from app.web.responses import tagged, unless_known
from app.web.routing import Route
from app.web.session import CursorsDep, SessionDep, SettingsDep, WorkDep

router = APIRouter(prefix="/labels", tags=["labels"], route_class=Route)
LABEL = "/{label_id:uuid}"


@router.get("", response_model=LabelPage, summary="List labels")
async def list_labels(
    caller: CurrentCaller,
    query: Annotated[LabelQuery, Depends(SentQuery(LabelQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """Your labels by name, in pages."""
    return await service.list_labels(work, cursors, caller.scope, caller.user_id, query)


@router.post("", status_code=201, response_model=LabelOut, summary="Create a label")
async def create_label(caller: CurrentCaller, body: LabelCreate, session: SessionDep, response: Response) -> Any:
    """In your personal workspace, where you name no other. A name that is there already, in any case, is a 409."""
    fields = body.model_dump(exclude={"workspace_id"})
    label = await service.create_label(session, caller.scope, caller.actor(), fields, body.workspace_id)
    return tagged(response, label, location=f"/labels/{label.id}")


@router.get(
    LABEL,
    response_model=LabelOut,
    summary="Read a label",
    responses={304: {"description": "You have the current version"}},
)
async def read_label(
    caller: CurrentCaller, label_id: UUID, work: WorkDep, response: Response, if_none_match: IfNoneMatch = None
) -> Any:
    return unless_known(response, await service.get_label(work, caller.scope, label_id), if_none_match)


@router.patch(LABEL, response_model=LabelOut, summary="Change a label")
async def update_label(
    caller: CurrentCaller,
    label_id: UUID,
    body: LabelUpdate,
    session: SessionDep,
    settings: SettingsDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """A JSON merge patch: only the fields sent are touched. Its tasks keep it under the new name."""
    # Called, not depended on: what is wrong with the body comes before a stale If-Match (RFC 9110 13.2.1).
    label = await label_to_change(caller, label_id, session, settings, if_match)
    return tagged(response, await service.update_label(session, caller.actor(), label, body.model_dump()))


@router.delete(LABEL, status_code=204, summary="Delete a label")
async def delete_label(caller: CurrentCaller, label: LabelToChange, session: SessionDep) -> None:
    """Takes it off its tasks, whose ETags change with that."""
    await service.delete_label(session, caller.actor(), label)
