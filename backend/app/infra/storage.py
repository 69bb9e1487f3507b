"""Files outside of the database, under keys that say nothing. On local disk now; the library speaks S3 and its kin too."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import LocalStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.infra.settings import Settings

CHUNK = 1 << 20


class Storage:
    """Writes are whole or absent: a reader never sees half a file."""

    def __init__(self, settings: Settings) -> None:
        self._store = LocalStore(str(Path(settings.storage_dir).absolute()), mkdir=True)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> tuple[int, bytes]:
        """Returns the size in bytes and the SHA-256 of what was written."""
        size, digest = 0, hashlib.sha256()

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                digest.update(chunk)
                yield chunk

        await obstore.put_async(self._store, key, counted())
        return size, digest.digest()

    async def get(self, key: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The file in pieces of about `CHUNK` bytes. Raises FileNotFoundError before the first one is asked for."""
        found = await obstore.get_async(self._store, key)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in found.stream(min_chunk_size=CHUNK):
                yield bytes(piece)

        return pieces()

    async def delete(self, key: str) -> None:
        """A file that is gone already stays so."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
