"""Keeping files: the bytes first, then the row in the transaction that has a use for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Uuid, bindparam, select

from app.infra.statements import Statement
from app.kit.ids import new_id
from app.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.storage import Storage, Stored
    from app.infra.work import Work


async def keep(
    session: AsyncSession,
    storage: Storage,
    chunks: AsyncIterator[bytes],
    *,
    workspace_id: UUID,
    user_id: UUID | None,
    name: str,
    media_type: str,
    job_id: UUID | None = None,
) -> StoredFile:
    """Stores the bytes, then adds the row; with a `job_id` it goes when that job is pruned.

    A transaction that fails leaves bytes without a row, never the reverse; `files.sync` deletes them.
    """
    stored = await storage.put(chunks)
    return await add(
        session,
        stored,
        workspace_id=workspace_id,
        user_id=user_id,
        name=name,
        media_type=media_type,
        job_id=job_id,
    )


async def add(  # noqa: PLR0913  each is a column
    session: AsyncSession,
    stored: Stored,
    *,
    workspace_id: UUID,
    user_id: UUID | None,
    name: str,
    media_type: str,
    attachment_id: UUID | None = None,
    thumbnail: str | None = None,
    job_id: UUID | None = None,
) -> StoredFile:
    """The row of bytes that are stored already."""
    file = StoredFile(
        id=new_id(),
        workspace_id=workspace_id,
        created_by=user_id,
        attachment_id=attachment_id,
        thumbnail=thumbnail,
        job_id=job_id,
        storage_key=stored.key,
        name=name,
        media_type=media_type,
        size=stored.size,
        sha256=stored.sha256,
    )
    session.add(file)
    await session.flush()  # jobs refer to it by id
    return file


_f = StoredFile.__table__.c
_FIND = Statement(
    select(*(_f[name] for name in ("id", "workspace_id", "storage_key", "name", "media_type", "size", "sha256"))).where(
        _f.id == bindparam("file_id", type_=Uuid())
    )
)


async def find_file(work: Work, file_id: UUID) -> Mapping[str, Any] | None:
    """The row by itself, for an answer that streams the file."""
    rows = await work.fetch(_FIND, {"file_id": file_id})
    return dict(rows[0]) if rows else None


async def find(session: AsyncSession, file_id: UUID) -> StoredFile | None:
    """The row, for a job that was given its id."""
    return await session.scalar(select(StoredFile).where(StoredFile.id == file_id))


async def made_by(session: AsyncSession, job_id: UUID) -> StoredFile | None:
    """The file that an earlier attempt at a job whose result is a file has stored."""
    return await session.scalar(select(StoredFile).where(StoredFile.job_id == job_id))


def as_result(file: StoredFile) -> dict[str, Any]:
    """What a job whose result is a file says of it; `GET /jobs/{id}/result` sends the file itself."""
    return {"file_id": str(file.id), "name": file.name, "media_type": file.media_type, "size": file.size}
