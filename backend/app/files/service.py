"""Keeping files: the bytes first, then the row in the transaction that has a use for it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.kit.ids import new_id
from app.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.storage import Storage


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


async def find(session: AsyncSession, file_id: UUID) -> StoredFile | None:
    """The row, for a job that was given its id."""
    return await session.scalar(select(StoredFile).where(StoredFile.id == file_id))
