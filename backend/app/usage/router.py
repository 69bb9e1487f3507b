"""`/workspaces/{workspace_id}/usage` over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends

from app.identity.dependencies import CurrentCaller
from app.usage import repository
from app.usage.schemas import UsagePage, UsageQuery
from app.web.query import SentQuery
from app.web.routing import Route
from app.web.session import CursorsDep, WorkDep

router = APIRouter(prefix="/workspaces", tags=["usage"], route_class=Route)


@router.get("/{workspace_id:uuid}/usage", response_model=UsagePage, summary="List usage statements")
async def list_usage(
    caller: CurrentCaller,
    workspace_id: UUID,
    query: Annotated[UsageQuery, Depends(SentQuery(UsageQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Any:
    """A statement for each month, the newest first; that of this month is brought up to date by the hour. For admins."""
    caller.scope.require(workspace_id, "admin")
    return await repository.STATEMENTS.page(work, cursors, query, {"workspace_id": workspace_id}, caller.user_id)
