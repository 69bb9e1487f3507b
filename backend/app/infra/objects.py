"""Object stores: a folder, or a bucket. What is written is whole or absent."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.store import from_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from obstore.store import ClientConfig, ObjectStore, RetryConfig
    from pydantic import AnyUrl

CHUNK = 1 << 20
"""Bytes of a piece that is read."""
_PART = 5 << 20
"""S3 takes no smaller parts."""
_CLIENT: ClientConfig = {
    "connect_timeout": timedelta(seconds=3),
    "read_timeout": timedelta(seconds=10),
    # Of a whole answer, at the pace of whoever takes it from us. The library's 30 s end a large file in the middle.
    "timeout": timedelta(hours=6),
    "allow_http": True,  # where the endpoint says so
}
_RETRY: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}


def open_store(url: AnyUrl) -> ObjectStore:
    """`file:///folder`, which is made where it is not there, or a bucket, whose keys stand in its provider's variables."""
    if url.scheme == "file":
        return from_url(str(url), mkdir=True)
    return from_url(str(url), client_options=_CLIENT, retry_config=_RETRY)


def probe(store: ObjectStore, path: str) -> None:
    """Writes a small file and deletes it, for a process that ends soon: it blocks, and no thread of the library is left
    with the event loop's objects, which ends a process that is about to end by a signal instead.
    """
    obstore.put(store, path, b"probe")
    obstore.delete(store, path)


class Counted:
    """Chunks on their way through, counted and hashed."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256()
        self.size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size += len(chunk)
            self._digest.update(chunk)
            yield chunk

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()


async def put(store: ObjectStore, path: str, chunks: AsyncIterable[bytes]) -> None:
    """In parts, a few megabytes of them in memory. What `chunks` raises leaves nothing behind."""
    await obstore.put_async(store, path, aiter(chunks), chunk_size=_PART, max_concurrency=2)
