"""Keeping files: the bytes first, then the row in the transaction that has a use for it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from sqlalchemy import Uuid, bindparam, select

from app.infra.statements import Statement
from app.kit.ids import new_id
from app.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.storage import Storage
    from app.infra.work import Work


async def keep(
    session: AsyncSession,
    storage: Storage,
    chunks: AsyncIterator[bytes],
    *,
    workspace_id: UUID,
    user_id: UUID,
    name: str,
    media_type: str,
) -> StoredFile:
    """Stores the bytes under a random key. A transaction that fails leaves bytes without a row, never the reverse."""
    key = secrets.token_hex(16)
    size, digest = await storage.put(key, chunks)
    file = StoredFile(
        id=new_id(),
        workspace_id=workspace_id,
        created_by=user_id,
        storage_key=key,
        name=name,
        media_type=media_type,
        size=size,
        sha256=digest,
    )
    session.add(file)
    await session.flush()  # jobs refer to it by id
    return file


_f = StoredFile.__table__.c
_FIND = Statement(
    select(*(_f[name] for name in ("id", "workspace_id", "storage_key", "name", "media_type", "size"))).where(
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
