"""Files outside of the database, under keys that say nothing: on local disk, or in a bucket."""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from app.infra.objects import CHUNK, Counted, open_store, probe, put
from app.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime

    from obstore.store import ObjectStore

    from app.infra.settings import Settings

log = structlog.get_logger(__name__)

SHELVES = tuple(f"{number:02x}" for number in range(256))
"""The first part of every key: no folder, and no listing, holds all files."""
_KEY = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}")


class StorageUnavailable(Unavailable):
    code, title = "storage_unavailable", "Files cannot be stored or fetched now"


@dataclass(frozen=True, slots=True)
class Stored:
    """What was written: where, how many bytes, their SHA-256."""

    key: str
    size: int
    sha256: bytes


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        log.warning("storage_trouble", error=type(error).__name__, reason=str(error)[:300])
        raise StorageUnavailable from error


class Storage:
    """Writes are whole or absent: a reader never sees half a file.

    Each method raises StorageUnavailable where the disk is full or the bucket does not do what it is asked.
    """

    def __init__(self, settings: Settings) -> None:
        self._store: ObjectStore
        if settings.storage_url is None:
            self._store = LocalStore(str(Path(settings.storage_dir).absolute()), mkdir=True)
        else:
            self._store = open_store(settings.storage_url)

    def probe(self) -> None:
        """Writes a small file and deletes it, as `objects.probe` does."""
        probe(self._store, f"{SHELVES[0]}/{secrets.token_hex(15)}")

    async def put(self, chunks: AsyncIterator[bytes], key: str | None = None) -> Stored:
        """Stores the bytes under a new key, or under the one that they had. What `chunks` raises leaves nothing behind."""
        key = key or f"{secrets.choice(SHELVES)}/{secrets.token_hex(15)}"
        counted = Counted(chunks)
        with _asked():
            await put(self._store, key, counted)
        return Stored(key, counted.size, counted.sha256)

    async def get(self, key: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        with _asked():
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())

    async def open(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in pieces; it is known here that the file is there.

        `end` must be above `start`. Raises FileNotFoundError.
        """
        with _asked():
            found = await obstore.get_async(self._store, key, options={"range": (start, end)})
        return (bytes(chunk) async for chunk in found.stream(min_chunk_size=CHUNK))

    async def size(self, key: str) -> int | None:
        """Bytes of a file; None where it is not there."""
        try:
            with _asked():
                return int((await obstore.head_async(self._store, key))["size"])
        except FileNotFoundError:
            return None

    async def delete(self, key: str) -> None:
        """A file that is gone already stays so."""
        try:
            with _asked():
                await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return

    async def shelf(self, name: str) -> dict[str, datetime]:
        """The keys of one of the `SHELVES`, with the time of writing. What has no key of ours is not ours."""
        found = {}
        with _asked():
            async for entries in obstore.list(self._store, name, chunk_size=1000):
                found.update(
                    {entry["path"]: entry["last_modified"] for entry in entries if _KEY.fullmatch(entry["path"])}
                )
        return found
