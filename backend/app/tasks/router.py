"""`/tasks` over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from app.identity.caller import Caller
from app.identity.dependencies import CurrentCaller
from app.infra.settings import Settings
from app.kit.clock import utc_now
from app.kit.schema import Limit
from app.tasks import bulk, history, pages, service
from app.tasks.schemas import (
    BULK,
    CHANGE_PAGE,
    TASK,
    TASK_PAGE,
    Bulk,
    BulkOut,
    ChangePage,
    Expand,
    TaskCreate,
    TaskOut,
    TaskPage,
    TaskQuery,
    TaskUpdate,
    TrashQuery,
)
from app.tasks.service import Writer
from app.web.preconditions import IfMatch, IfNoneMatch, etag, not_modified, versions
from app.web.query import SentQuery
from app.web.responses import json_answer
from app.web.routing import Route, no_deadline
from app.web.session import CursorsDep, SessionDep, SettingsDep, WorkDep

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=Route)
Filters = Annotated[TaskQuery, Depends(SentQuery(TaskQuery))]


def writer_of(caller: Caller) -> Writer:
    return Writer(caller.scope, caller.actor())


def _answer(task: Any, status: int = 200, **headers: str) -> Response:
    return json_answer(TASK, dict(task), status, {"ETag": etag(task["version"]), **headers})


def _created(task: Any) -> Response:
    return _answer(task, 201, Location=f"/tasks/{task['id']}")


@router.get("", response_model=TaskPage, summary="List tasks")
async def list_tasks(caller: CurrentCaller, query: Filters, work: WorkDep, cursors: CursorsDep) -> Response:
    """Your tasks, newest first, in pages. Filters are combined with AND, repeats of one filter with OR.

    Archived tasks are listed on request only, deleted ones under `/tasks/trash`.
    """
    return json_answer(TASK_PAGE, await pages.page(work, caller.scope, caller.user_id, query, cursors))


@router.post("", status_code=201, response_model=TaskOut, summary="Create a task")
async def create_task(caller: CurrentCaller, task: TaskCreate, work: WorkDep) -> Response:
    """The title alone is enough: the task lands in your inbox. A repeat with one `Idempotency-Key` makes no second."""
    return _created(await service.create(work, writer_of(caller), task.model_dump()))


@router.get(
    "/{task_id:uuid}", response_model=TaskOut, summary="Read a task", responses={304: {"description": "Not modified"}}
)
async def read_task(
    caller: CurrentCaller,
    task_id: UUID,
    work: WorkDep,
    if_none_match: IfNoneMatch = None,
    expand: Annotated[Expand | None, Query()] = None,
) -> Response:
    """With `expand` the objects that the task refers to stand beside their ids, and the answer has no ETag."""
    task = await service.get(work, caller.scope, task_id)
    if expand is not None:
        shown = dict(task)
        await pages.expand(work, [shown], expand)
        return json_answer(TASK, shown)
    if not_modified(if_none_match, task["version"]):
        return Response(status_code=304, headers={"ETag": etag(task["version"])})
    return _answer(task)


@router.patch("/{task_id:uuid}", response_model=TaskOut, summary="Change a task")
async def update_task(
    caller: CurrentCaller,
    task_id: UUID,
    patch: TaskUpdate,
    work: WorkDep,
    settings: SettingsDep,
    if_match: IfMatch = None,
) -> Response:
    """A JSON merge patch: only the fields sent are touched. With `If-Match`, a task changed since then stays (412)."""
    wanted = versions(if_match, required=settings.require_if_match)
    return _answer(await service.update(work, writer_of(caller), task_id, patch.model_dump(), wanted))


@router.get("/trash", response_model=TaskPage, summary="List deleted tasks")
async def list_trash(
    caller: CurrentCaller,
    query: Annotated[TrashQuery, Depends(SentQuery(TrashQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Response:
    """Deleted tasks stay here until they are restored or purged; filters and pages are those of `GET /tasks`.

    Archived ones are listed too, unless `archived` says otherwise.
    """
    return json_answer(TASK_PAGE, await pages.page(work, caller.scope, caller.user_id, query, cursors))


@router.delete("/trash/{task_id:uuid}", status_code=204, summary="Purge a deleted task")
async def purge_task(caller: CurrentCaller, task_id: UUID, work: WorkDep) -> None:
    """Removes a task from the trash for good, with its comments. This cannot be undone."""
    await service.purge(work, writer_of(caller), task_id)


@router.post("/bulk", response_model=BulkOut, summary="Create, update and delete many tasks")
@no_deadline
async def write_many(caller: CurrentCaller, entries: Bulk, work: WorkDep, settings: SettingsDep) -> Response:
    """At most 500 entries. `atomic` (the default): the first error is a 422 naming the entry; nothing is written.

    With `atomic=false` each entry has its own result, in the order sent. Where `If-Match` is compulsory, so is the
    `version` of an update, and tasks are deleted one by one.
    """
    required = settings.require_if_match
    return json_answer(BULK, await bulk.write(work, writer_of(caller), entries, versions_required=required))


@router.delete("/{task_id:uuid}", status_code=204, summary="Delete a task")
async def delete_task(
    caller: CurrentCaller, task_id: UUID, session: SessionDep, settings: SettingsDep, if_match: IfMatch = None
) -> None:
    """Into the trash, with its subtasks; `POST /tasks/{task_id}/restore` brings them back."""
    await service.delete(session, writer_of(caller), task_id, versions(if_match, required=settings.require_if_match))


@router.post("/{task_id:uuid}/restore", response_model=TaskOut, summary="Restore a deleted task")
async def restore_task(caller: CurrentCaller, task_id: UUID, work: WorkDep) -> Response:
    """Out of the trash, with the subtasks that went there with it."""
    return _answer(await service.restore(work, writer_of(caller), task_id))


@router.post("/{task_id:uuid}/archive", response_model=TaskOut, summary="Archive a task")
async def archive_task(
    caller: CurrentCaller, task_id: UUID, work: WorkDep, settings: SettingsDep, if_match: IfMatch = None
) -> Response:
    """An archived task keeps its status and is listed on request only."""
    return await _archived(work, caller, task_id, settings, if_match, archive=True)


@router.post("/{task_id:uuid}/unarchive", response_model=TaskOut, summary="Take a task out of the archive")
async def unarchive_task(
    caller: CurrentCaller, task_id: UUID, work: WorkDep, settings: SettingsDep, if_match: IfMatch = None
) -> Response:
    """The task is listed again."""
    return await _archived(work, caller, task_id, settings, if_match, archive=False)


async def _archived(
    work: Any, caller: Caller, task_id: UUID, settings: Settings, if_match: str | None, *, archive: bool
) -> Response:
    wanted = versions(if_match, required=settings.require_if_match)
    moment = utc_now() if archive else None
    return _answer(await service.set_archived(work, writer_of(caller), task_id, moment, wanted))


@router.post("/{task_id:uuid}/complete", response_model=TaskOut, summary="Complete a task")
async def complete_task(
    caller: CurrentCaller, task_id: UUID, work: WorkDep, settings: SettingsDep, if_match: IfMatch = None
) -> Response:
    """Sets the status `done` and `completed_at`; a task that is done stays as it is."""
    wanted = versions(if_match, required=settings.require_if_match)
    return _answer(await service.set_status(work, writer_of(caller), task_id, "done", wanted))


@router.post("/{task_id:uuid}/reopen", response_model=TaskOut, summary="Reopen a task")
async def reopen_task(
    caller: CurrentCaller, task_id: UUID, work: WorkDep, settings: SettingsDep, if_match: IfMatch = None
) -> Response:
    """A done or cancelled task becomes `todo`; an open one stays as it is."""
    wanted = versions(if_match, required=settings.require_if_match)
    return _answer(await service.set_status(work, writer_of(caller), task_id, "todo", wanted))


@router.get("/{task_id:uuid}/history", response_model=ChangePage, summary="Read a task's history")
async def read_history(
    caller: CurrentCaller,
    task_id: UUID,
    session: SessionDep,
    cursors: CursorsDep,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:
    """Who changed what, newest first: the task, its comments and its attachments."""
    return json_answer(CHANGE_PAGE, await history.page(session, caller.scope, task_id, limit, cursor, cursors))
