"""`POST /tasks/import`, `GET /tasks/export` and `POST /tasks/export` over HTTP."""

from collections.abc import AsyncIterator
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from app.files.service import keep
from app.identity.dependencies import CurrentCaller
from app.infra.objects import CHUNK
from app.infra.storage import Storage
from app.jobs.dependencies import accepted
from app.jobs.schemas import JobOut
from app.jobs.service import check_quota, take_quota
from app.kit.clock import utc_now
from app.transfer import exports, readers, service
from app.transfer.errors import InvalidMapping
from app.transfer.job_args import ExportArgs, ImportArgs
from app.transfer.parsing.text import HEAD
from app.transfer.readers.csv_columns import parse_mapping
from app.transfer.schemas import ImportForm, WorkspaceExport
from app.web.routing import Route, no_deadline
from app.web.session import DatabaseDep, SessionDep, SettingsDep
from app.worker import enqueue

router = APIRouter(prefix="/tasks", tags=["import and export"], route_class=Route)


@router.post("/import", status_code=202, response_model=JobOut, summary="Import tasks from a file")
@no_deadline
async def import_tasks(
    request: Request,
    caller: CurrentCaller,
    session: SessionDep,
    settings: SettingsDep,
    form: Annotated[ImportForm, Form(media_type="multipart/form-data")],
) -> Response:
    """Answers with the job; its result counts what came in, and names errors and warnings, of very many the first.

    The import comes in with one commit. With an `Idempotency-Key` a repeated request imports once.
    """
    workspace_id = await service.target(session, caller.scope, form.project_id)
    head = await form.file.read(HEAD)
    await form.file.seek(0)
    kind = form.format or readers.detect(form.file.filename or "", head)
    if form.mapping is not None:
        if kind != "csv":
            raise InvalidMapping("A mapping is for the format csv only")
        parse_mapping(form.mapping)
    await check_quota(session, caller.user_id, ImportArgs, settings.jobs_per_user)
    stored = await keep(
        session,
        cast("Storage", request.app.state.storage),
        _chunks(form.file),
        workspace_id=workspace_id,
        user_id=caller.user_id,
        name=(form.file.filename or "")[:255],
        media_type=(form.file.content_type or "application/octet-stream")[:255],
    )
    args = ImportArgs(
        file_id=stored.id,
        workspace_id=workspace_id,
        project_id=form.project_id,
        format=kind,
        mapping=form.mapping,
        dry_run=form.dry_run,
        on_error=form.on_error,
    )
    # Now for good: nobody was kept waiting while the bytes were stored.
    await take_quota(session, caller.user_id, ImportArgs, settings.jobs_per_user)
    job = await enqueue(session, args, workspace_id=workspace_id, created_by=caller.user_id)
    stored.job_id = job.id  # pruned with it
    return accepted(job)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk


@router.get("/export", response_class=StreamingResponse, summary="Export tasks to a file", responses=exports.RESPONSES)
@no_deadline
async def export_tasks(
    caller: CurrentCaller,
    database: DatabaseDep,
    format_: Annotated[exports.ExportFormat, Query(alias="format")] = "json",
    project: Annotated[list[UUID] | None, Query(max_length=50, description="Only of these projects.")] = None,
) -> StreamingResponse:
    """All your live tasks, archived ones too, from one snapshot, streamed. JSON and CSV come back unchanged by import."""
    now = utc_now()
    export = await exports.begin(database, caller.scope, format_, project, now)
    headers = {"Content-Disposition": f'attachment; filename="tasks-{now:%Y-%m-%d}.{export.writer.ending}"'}
    return StreamingResponse(export.body(), headers=headers, media_type=export.writer.media_type)


@router.post("/export", status_code=202, response_model=JobOut, summary="Export a workspace with its files")
async def export_workspace(
    caller: CurrentCaller, body: WorkspaceExport, session: SessionDep, settings: SettingsDep
) -> Response:
    """A zip file: `tasks.json`, which import takes back, and the attachments under `files/<key of the task>`.

    Answers with the job; its result is the file. A file that storage has lost is left out and named.
    """
    workspace_id = caller.scope.target(body.workspace_id, "viewer")
    await take_quota(session, caller.user_id, ExportArgs, settings.jobs_per_user)
    return accepted(await enqueue(session, ExportArgs(), workspace_id=workspace_id, created_by=caller.user_id))
