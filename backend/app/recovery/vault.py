"""The place where backups are, `BACKUP_URL`: a folder or a bucket of their own.

    <name>/database.dump   pg_dump's custom format
    <name>/files           a line for each stored file: key, size, SHA-256
    <name>/manifest.json   written last: without it there is no backup
    <name>/proof.json      written when it was restored to prove it
    files-<pool>/<key>     the bytes of stored files, which never change: each is kept once for all backups

`<pool>` is `plain`, or tells the key that everything but the manifests and proofs is encrypted with.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import obstore
from pydantic import BaseModel

from app.infra.objects import CHUNK, Counted, open_store, probe, put
from app.recovery import sealing
from app.recovery.errors import BackupError

if TYPE_CHECKING:
    from app.infra.settings import Settings


class Content(BaseModel):
    """What was written, before encryption."""

    size: int
    sha256: str


class Manifest(BaseModel):
    """What a backup holds."""

    name: str
    taken_at: datetime
    seconds: float
    release: str
    schema_revision: str
    server: int
    """PostgreSQL's major version."""
    rows: dict[str, int]
    """Rows of each table."""
    constraints: int
    newest_change_id: int
    dump: Content
    listing: Content
    """The list of its files."""
    files: int
    file_bytes: int
    lost: list[str]
    """Keys of files that were gone, or not what their rows say, when the backup was made."""
    pool: str

    @property
    def size(self) -> int:
        """Bytes to restore."""
        return self.dump.size + self.file_bytes


class Proof(BaseModel):
    """That a backup was restored, and how long it took."""

    at: datetime
    restore_seconds: float


class StoredBytes(NamedTuple):
    """One file of a backup."""

    key: str
    size: int
    sha256: str


async def content_of(chunks: AsyncIterator[bytes]) -> Content:
    counted = Counted(chunks)
    async for _ in counted:
        pass
    return Content(size=counted.size, sha256=counted.sha256.hex())


class Vault:
    """Objects are whole or absent."""

    def __init__(self, settings: Settings) -> None:
        """Raises BackupError without a BACKUP_URL."""
        if settings.backup_url is None:
            raise BackupError("BACKUP_URL is not set: name a folder (file:///...) or a bucket (s3://...) for backups")
        self._store = open_store(settings.backup_url)
        self._key = settings.backup_key.get_secret_value().encode() if settings.backup_key else None
        self.pool = f"files-{sealing.fingerprint(self._key)}" if self._key else "files-plain"

    def probe(self) -> None:
        """Writes a small file beside the backups and deletes it, as `objects.probe` does."""
        probe(self._store, f"probe-{secrets.token_hex(8)}")

    async def put(self, path: str, chunks: AsyncIterator[bytes]) -> Content:
        counted = Counted(chunks)
        await put(self._store, path, sealing.seal(self._key, path, aiter(counted)) if self._key else counted)
        return Content(size=counted.size, sha256=counted.sha256.hex())

    async def open(self, path: str) -> AsyncIterator[bytes]:
        """The content. Raises BackupError where it is gone or does not open."""
        try:
            found = await obstore.get_async(self._store, path)
        except FileNotFoundError:
            raise BackupError(f"{path} is gone from the backups") from None
        stream = (bytes(chunk) async for chunk in found.stream(min_chunk_size=CHUNK))
        async for chunk in sealing.unseal(self._key, path, stream) if self._key else stream:
            yield chunk

    async def write(self, name: str, what: Manifest | Proof) -> None:
        """In the clear: which backups there are can be told without the key."""
        await obstore.put_async(self._store, _path(name, what.__class__), what.model_dump_json(indent=1).encode())

    async def manifests(self) -> list[Manifest]:
        """Of every backup that is whole, newest first."""
        found = [await self._read(Manifest, name) for name in await self._names()]
        return sorted((one for one in found if one is not None), key=lambda one: one.taken_at, reverse=True)

    async def manifest(self, name: str | None) -> Manifest:
        """Of one backup; without a name, of the newest. Raises BackupError where it is not there, or needs another key."""
        for found in await self.manifests():
            if name in (found.name, None):
                if found.pool != self.pool:
                    raise BackupError(f"{found.name} was made with another BACKUP_KEY ({found.pool}, not {self.pool})")
                return found
        raise BackupError(f"There is no backup {name}" if name else "There is no backup yet")

    async def proof(self, name: str) -> Proof | None:
        proof: Proof | None = await self._read(Proof, name)
        return proof

    async def listed(self, name: str) -> AsyncIterator[StoredBytes]:
        """The files of a backup, in the order of their keys."""
        rest = b""
        async for chunk in self.open(f"{name}/files"):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                key, size, sha256 = line.decode().split()
                yield StoredBytes(key, int(size), sha256)

    async def kept(self, folder: str) -> set[str]:
        """The paths of all objects below a folder."""
        return {entry["path"] async for entries in obstore.list(self._store, folder) for entry in entries}

    async def delete(self, paths: set[str]) -> None:
        """What is gone already stays so. Manifests first: half a backup must not look like a whole one."""
        for path in sorted(paths, key=lambda path: not path.endswith("/manifest.json")):
            try:
                await obstore.delete_async(self._store, path)
            except FileNotFoundError:
                continue

    async def pools(self) -> list[str]:
        """The folders of stored files, one for each key."""
        return [name for name in await self._folders() if name.startswith("files-")]

    async def _names(self) -> list[str]:
        return [name for name in await self._folders() if not name.startswith("files-")]

    async def _folders(self) -> list[str]:
        return list((await obstore.list_with_delimiter_async(self._store))["common_prefixes"])

    async def unfinished(self) -> dict[str, datetime]:
        """Folders without a manifest, with the time of their newest object."""
        found = {}
        for name in await self._names():
            entries = [entry async for some in obstore.list(self._store, name) for entry in some]
            if not any(entry["path"] == _path(name, Manifest) for entry in entries):
                found[name] = max(entry["last_modified"] for entry in entries)
        return found

    async def _read(self, model: type[Any], name: str) -> Any:
        try:
            found = await obstore.get_async(self._store, _path(name, model))
        except FileNotFoundError:
            return None
        return model.model_validate_json(bytes(await found.bytes_async()))


def _path(name: str, model: type[Any]) -> str:
    return f"{name}/{model.__name__.lower()}.json"
