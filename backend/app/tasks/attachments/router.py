"""`/tasks/{task_id}/attachments` over HTTP."""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Response, UploadFile

from app.files.imaging import Size
from app.identity.caller import Caller
from app.identity.dependencies import CurrentCaller
from app.infra.objects import CHUNK
from app.tasks.attachments import service
from app.tasks.attachments.schemas import (
    ATTACHMENT,
    ATTACHMENT_PAGE,
    AttachmentForm,
    AttachmentOut,
    AttachmentPage,
    AttachmentQuery,
)
from app.tasks.service import Writer
from app.web import downloads
from app.web.downloads import WantedDep
from app.web.preconditions import IfNoneMatch, is_known
from app.web.query import SentQuery
from app.web.responses import json_answer
from app.web.routing import Route, no_deadline
from app.web.session import CursorsDep, SessionDep, SettingsDep, StorageDep, WorkDep

router = APIRouter(prefix="/tasks/{task_id:uuid}/attachments", tags=["tasks"], route_class=Route)
ATTACHMENT_PATH = "/{attachment_id:uuid}"


def _writer(caller: Caller) -> Writer:
    return Writer(caller.scope, caller.actor())


def _tagged(attachment: dict[str, Any], status: int = 200, **headers: str) -> Response:
    # Its thumbnails come and go without a version, so the tag is made of what is shown.
    answer = json_answer(ATTACHMENT, attachment, status, headers)
    answer.headers["ETag"] = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    return answer


@router.get("", response_model=AttachmentPage, summary="List a task's attachments")
async def list_attachments(
    caller: CurrentCaller,
    task_id: UUID,
    query: Annotated[AttachmentQuery, Depends(SentQuery(AttachmentQuery))],
    work: WorkDep,
    cursors: CursorsDep,
) -> Response:
    """The oldest first, in pages."""
    found = await service.page(work, cursors, caller.scope, caller.user_id, task_id, query)
    return json_answer(ATTACHMENT_PAGE, found)


@router.post("", status_code=201, response_model=AttachmentOut, summary="Attach a file to a task")
@no_deadline
async def create_attachment(
    caller: CurrentCaller,
    task_id: UUID,
    form: Annotated[AttachmentForm, Form(media_type="multipart/form-data")],
    work: WorkDep,
    storage: StorageDep,
    settings: SettingsDep,
) -> Response:
    """At most 25 MB. Thumbnails of a PNG, JPEG, GIF or WebP image are made by a job: `thumbnails` says how far it is."""
    file = form.file
    name = service.name_of(file.filename or "")
    await service.check(work, caller.scope, task_id, file.size or 0, settings)
    head = await file.read(service.HEAD)
    await file.seek(0)
    made = await service.create(
        work,
        storage,
        _writer(caller),
        task_id,
        _chunks(file),
        name=name,
        media_type=service.media_type_of(head),
        limit=settings.attachments_per_task,
    )
    return _tagged(made, 201, Location=f"/tasks/{task_id}/attachments/{made['id']}")


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK):
        yield chunk


@router.get(
    ATTACHMENT_PATH,
    response_model=AttachmentOut,
    summary="Read an attachment",
    responses={304: {"description": "You have the current state"}},
)
async def read_attachment(
    caller: CurrentCaller, task_id: UUID, attachment_id: UUID, work: WorkDep, if_none_match: IfNoneMatch = None
) -> Response:
    """What is known of the file, and the state of its thumbnails; the bytes are at `/content`."""
    answer = _tagged(await service.get(work, caller.scope, task_id, attachment_id))
    if is_known(if_none_match, answer.headers["ETag"]):
        return Response(status_code=304, headers={"ETag": answer.headers["ETag"]})
    return answer


@router.get(
    ATTACHMENT_PATH + "/content",
    response_class=Response,
    summary="Download an attachment",
    responses=downloads.RESPONSES,
)
async def download_attachment(
    caller: CurrentCaller,
    task_id: UUID,
    attachment_id: UUID,
    work: WorkDep,
    storage: StorageDep,
    wanted: WantedDep,
) -> Response:
    """The bytes as they were sent, to be saved and not shown. A download that broke off goes on with `Range`."""
    file = await service.content(work, caller.scope, task_id, attachment_id)
    return await downloads.send(storage, file, wanted)


@router.get(
    ATTACHMENT_PATH + "/thumbnails/{size}",
    response_class=Response,
    summary="Read a thumbnail",
    responses=downloads.RESPONSES,
)
async def read_thumbnail(
    caller: CurrentCaller,
    task_id: UUID,
    attachment_id: UUID,
    size: Size,
    work: WorkDep,
    storage: StorageDep,
    wanted: WantedDep,
) -> Response:
    """WebP, at most 128, 512 or 1280 pixels wide and high, upright and without metadata; 404 until it is made."""
    file = await service.content(work, caller.scope, task_id, attachment_id, size)
    return await downloads.send(storage, file, wanted)


@router.delete(ATTACHMENT_PATH, status_code=204, summary="Delete an attachment")
async def delete_attachment(caller: CurrentCaller, task_id: UUID, attachment_id: UUID, session: SessionDep) -> None:
    """For good, with its thumbnails; the task's history keeps that it was there."""
    await service.delete(session, _writer(caller), task_id, attachment_id)
