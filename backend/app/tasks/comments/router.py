"""`/tasks/{task_id}/comments` over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from app.identity.dependencies import CurrentCaller
from app.models import Comment
from app.tasks.comments import service
from app.tasks.comments.schemas import CommentOut, CommentPage, CommentQuery, CommentWrite
from app.web.preconditions import IfMatch, IfNoneMatch, require_match
from app.web.query import SentQuery
from app.web.responses import tagged, unless_known
from app.web.routing import Route
from app.web.session import CursorsDep, SessionDep, SettingsDep, WorkDep

router = APIRouter(prefix="/tasks/{task_id:uuid}/comments", tags=["tasks"], route_class=Route)
COMMENT = "/{comment_id:uuid}"


async def _to_change(
    caller: CurrentCaller,
    task_id: UUID,
    comment_id: UUID,
    session: SessionDep,
    settings: SettingsDep,
    if_match: IfMatch = None,
) -> Comment:
    comment = await service.lock(session, caller.scope, caller.user_id, task_id, comment_id)
    require_match(if_match, comment.version, required=settings.require_if_match)
    return comment


CommentToChange = Annotated[Comment, Depends(_to_change)]


@router.get("", response_model=CommentPage, summary="List a task's comments")
async def list_comments(
    caller: CurrentCaller,
    task_id: UUID,
    query: Annotated[CommentQuery, Depends(SentQuery(CommentQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """The oldest first, in pages."""
    return await service.page(work, cursors, caller.scope, caller.user_id, task_id, query)


@router.post("", status_code=201, response_model=CommentOut, summary="Comment on a task")
async def create_comment(
    caller: CurrentCaller, task_id: UUID, comment: CommentWrite, session: SessionDep, response: Response
) -> Any:
    """Found by `GET /tasks?q=` like the task itself."""
    made = await service.create(session, caller.scope, caller.actor(), task_id, comment.body)
    return tagged(response, made, location=f"/tasks/{task_id}/comments/{made.id}")


@router.get(
    COMMENT,
    response_model=CommentOut,
    summary="Read a comment",
    responses={304: {"description": "You have the current version"}},
)
async def read_comment(
    caller: CurrentCaller,
    task_id: UUID,
    comment_id: UUID,
    work: WorkDep,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> Any:
    """One comment with its ETag."""
    return unless_known(response, await service.get(work, caller.scope, task_id, comment_id), if_none_match)


@router.patch(COMMENT, response_model=CommentOut, summary="Change a comment")
async def update_comment(
    caller: CurrentCaller,
    task_id: UUID,
    comment_id: UUID,
    change: CommentWrite,
    session: SessionDep,
    settings: SettingsDep,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Its author may; others get a 403."""
    # Called, not depended on: what is wrong with the body comes before a stale If-Match (RFC 9110 13.2.1).
    comment = await _to_change(caller, task_id, comment_id, session, settings, if_match)
    return tagged(response, await service.update(session, caller.actor(), comment, change.body))


@router.delete(COMMENT, status_code=204, summary="Delete a comment")
async def delete_comment(caller: CurrentCaller, comment: CommentToChange, session: SessionDep) -> None:
    """For good; the task's history keeps what it said."""
    await service.delete(session, caller.actor(), comment)
