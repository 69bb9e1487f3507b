"""The handler of `image.process`."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from app.files import imaging
from app.files.service import add
from app.infra.storage import Storage
from app.tasks.attachments import repository
from app.tasks.attachments.job_args import ImageArgs
from app.worker import Permanent, RunningJob, handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.models import StoredFile


@handler(ImageArgs)
async def make_thumbnails(job: RunningJob, args: ImageArgs) -> dict[str, Any]:
    """Each size is one effect. Not a plain function: the work is done by another process, which can be ended."""
    async with job.database.session() as session:
        original = await repository.original(session, args.attachment_id)
    if original is None:
        raise Permanent("attachment_gone", "The attachment is not there any more")
    storage = Storage(job.settings)
    made: dict[str, Any] = {}
    try:
        source = await storage.open(original.storage_key, 0, original.size)
        async with aclosing(imaging.thumbnails(source, job.settings)) as thumbnails:
            async for one in thumbnails:
                await _keep(job, storage, original, one)
                made[one.size] = {"width": one.width, "height": one.height, "bytes": len(one.content)}
                await job.progress(len(made), len(imaging.SIZES), one.size)
    except FileNotFoundError:
        raise Permanent("file_missing", "The content of the attachment is missing") from None
    except imaging.ImageRefused as refused:
        raise Permanent(refused.code, str(refused)) from None
    return made


async def _keep(job: RunningJob, storage: Storage, original: StoredFile, thumbnail: imaging.Thumbnail) -> None:
    async with job.transaction() as session:
        if not await job.effect(session, f"thumbnail:{thumbnail.size}"):
            return
        await add(
            session,
            await storage.put(_whole(thumbnail.content)),
            workspace_id=original.workspace_id,
            user_id=original.created_by,
            name=original.name,
            media_type=imaging.THUMBNAIL_MEDIA_TYPE,
            attachment_id=original.attachment_id,
            thumbnail=thumbnail.size,
        )


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
