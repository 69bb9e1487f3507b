"""The rules of attachments: who may write in the workspace adds and deletes them; what is sent is data, never run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import TypeAdapter, ValidationError

from app.changes.recorder import Entry, record
from app.files.imaging import MEDIA_TYPES
from app.files.service import add
from app.kit.errors import NotFound, PayloadTooLarge, invalid
from app.kit.ids import new_id
from app.kit.schema import Text
from app.models import Attachment, StoredFile
from app.tasks.attachments import repository
from app.tasks.attachments.errors import TooManyAttachments
from app.tasks.attachments.job_args import ImageArgs
from app.web.downloads import Download
from app.worker import enqueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope
    from app.files.imaging import Size
    from app.infra.settings import Settings
    from app.infra.storage import Storage
    from app.infra.work import Work
    from app.kit.pagination import CursorCodec
    from app.tasks.attachments.schemas import AttachmentQuery
    from app.tasks.service import Writer

HEAD = 16
"""The first bytes that say what a file is."""
_SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)
_NAME: TypeAdapter[str] = TypeAdapter(Annotated[str, Text(255, min_length=1, blank=False)])


def media_type_of(head: bytes) -> str:
    """By the first bytes, whatever the sender or the name says: so no page, script or SVG is ever sent as one."""
    return next((kind for pattern, kind in _SIGNATURES if pattern.match(head)), "application/octet-stream")


def name_of(sent: str) -> str:
    """The sender's name for a file, without its folders. Raises InvalidInput."""
    try:
        return _NAME.validate_python(re.split(r"[/\\]", sent)[-1])
    except ValidationError as error:
        problem = error.errors()[0]
        raise invalid("/file", problem["type"], f"The name of the file: {problem['msg']}") from None


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is on the wire."""
    shown = dict(row)
    thumbnails = {name: shown.pop(name) for name in ("state", "sizes", "error_code", "job_id")}
    return {**shown, "thumbnails": thumbnails}


async def page(
    work: Work, cursors: CursorCodec, scope: Scope, me: UUID, task_id: UUID, query: AttachmentQuery
) -> dict[str, Any]:
    """The attachments of a live task; raises NotFound for any other."""
    filters = {"workspace_ids": scope.workspace_ids, "of_task": task_id}
    if not await work.fetch(repository.TASK, filters):
        raise NotFound
    answer = await repository.ATTACHMENTS.page(work, cursors, query, filters, me)
    return {**answer, "items": [_shown(row) for row in answer["items"]]}


async def get(work: Work, scope: Scope, task_id: UUID, attachment_id: UUID) -> dict[str, Any]:
    params = {"workspace_ids": scope.workspace_ids, "of_task": task_id, "attachment_id": attachment_id}
    rows = await work.fetch(repository.ATTACHMENT, params)
    if not rows:
        raise NotFound
    return _shown(rows[0])


async def content(
    work: Work, scope: Scope, task_id: UUID, attachment_id: UUID, thumbnail: Size | None = None
) -> Download:
    """Where the bytes are, of what was sent or of a thumbnail; raises NotFound while there is none."""
    params = {
        "workspace_ids": scope.workspace_ids,
        "of_task": task_id,
        "attachment_id": attachment_id,
        "thumbnail": thumbnail,
    }
    rows = await work.fetch(repository.CONTENT, params)
    if not rows:
        raise NotFound
    row = rows[0]
    name = row["name"] if thumbnail is None else None
    return Download(row["storage_key"], row["size"], row["sha256"], row["media_type"], name)


async def check(work: Work, scope: Scope, task_id: UUID, size: int, settings: Settings) -> None:
    """Whether the task may get a file of this size, before a byte of it is stored.

    Raises NotFound, RoleTooLow, PayloadTooLarge, InvalidInput for an empty one.
    """
    rows = await work.fetch(repository.TASK, {"workspace_ids": scope.workspace_ids, "of_task": task_id})
    if not rows:
        raise NotFound
    scope.require(rows[0]["workspace_id"])
    if size > settings.attachment_max_bytes:
        raise PayloadTooLarge(f"An attachment may have at most {settings.attachment_max_bytes} bytes")
    if size == 0:
        raise invalid("/file", "empty_file", "The file has no bytes")


async def create(
    work: Work,
    storage: Storage,
    writer: Writer,
    task_id: UUID,
    chunks: AsyncIterator[bytes],
    *,
    name: str,
    media_type: str,
    limit: int,
) -> dict[str, Any]:
    """Stores the bytes, then hangs them on the task; an image's thumbnails are a job. Raises TooManyAttachments."""
    stored = await storage.put(chunks)
    session = await work.transaction()
    workspace_id = await repository.lock_task(session, writer.scope.workspace_ids, task_id)
    if workspace_id is None:
        raise NotFound
    if await repository.count(session, task_id) >= limit:
        raise TooManyAttachments(f"A task may have at most {limit} attachments")
    actor = writer.actor
    attachment = Attachment(id=new_id(), task_id=task_id, workspace_id=workspace_id, created_by=actor.user_id)
    if media_type in MEDIA_TYPES:
        args = ImageArgs(attachment_id=attachment.id)
        job = await enqueue(session, args, workspace_id=workspace_id, created_by=actor.user_id)
        attachment.job_id = job.id
    session.add(attachment)
    await session.flush()
    file = await add(
        session,
        stored,
        workspace_id=workspace_id,
        user_id=actor.user_id,
        name=name,
        media_type=media_type,
        attachment_id=attachment.id,
    )
    await record(session, actor, [_entry(attachment, 1, "created", None, _facts(file))])
    return await get(work, writer.scope, task_id, attachment.id)


async def delete(session: AsyncSession, writer: Writer, task_id: UUID, attachment_id: UUID) -> None:
    """For good, with its thumbnails; `files.sync` deletes the bytes. Raises NotFound, RoleTooLow."""
    found = await repository.lock(session, writer.scope.workspace_ids, task_id, attachment_id)
    if found is None:
        raise NotFound
    attachment, file = found
    writer.scope.require(attachment.workspace_id)
    facts = _facts(file)
    await session.delete(attachment)
    await session.flush()
    await record(session, writer.actor, [_entry(attachment, 2, "deleted", facts, None)])


def _facts(file: StoredFile) -> dict[str, Any]:
    return {"name": file.name, "media_type": file.media_type, "size": file.size}


def _entry(
    attachment: Attachment, version: int, action: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> Entry:
    """An attachment never changes: it is made (version 1) and deleted (2)."""
    place = attachment.workspace_id, "attachment", attachment.id
    return Entry(*place, version, action, before, after, attachment.task_id)
