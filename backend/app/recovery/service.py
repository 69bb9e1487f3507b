"""Making backups, proving them, putting one back, deleting old ones."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from app import __version__
from app.infra import migrations
from app.infra.storage import Storage
from app.kit.clock import utc_now
from app.recovery import programs, repository
from app.recovery.errors import BackupError
from app.recovery.vault import Manifest, Proof, StoredBytes, Vault, content_of

if TYPE_CHECKING:
    from app.infra.settings import Settings

log = structlog.get_logger(__name__)

Tell = Callable[[int, int | None, str], Awaitable[None]]
"""How far it is: how much of how much (None: not known) of what."""

_AT_ONCE = 8
_TELL_SECONDS = 1.0
_ABANDONED = timedelta(days=1)
"""What is unfinished for longer, nobody goes on with."""
_NAMED = 5


class Progress:
    """Tells not more than once a second, and always when something else begins."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told, self._what = 0.0, ""

    async def __call__(self, current: int, total: int | None, what: str) -> None:
        if what != self._what or time.monotonic() > self._told + _TELL_SECONDS:
            await self._tell(current, total, what)
            self._told, self._what = time.monotonic(), what

    async def along(self, chunks: AsyncIterator[bytes], total: int | None, what: str) -> AsyncIterator[bytes]:
        """The chunks, told of in bytes while they pass."""
        passed = 0
        async for chunk in chunks:
            passed += len(chunk)
            await self(passed, total, what)
            yield chunk


async def create(settings: Settings, tell: Tell) -> Manifest:
    """A backup of one moment: all rows, and the files that they name. Raises BackupError, OSError, PostgresError."""
    vault, storage, progress = Vault(settings), Storage(settings), Progress(tell)
    name = f"{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    began = time.monotonic()
    async with repository.connected(settings.direct_url) as connection:
        await repository.take_turn(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            facts = await repository.facts(connection)
            programs.require(facts["server"])
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            async with aclosing(programs.dump(settings.direct_url, facts["server"], snapshot)) as dumped:
                told = progress.along(dumped, None, "bytes of the database")
                dump = await vault.put(f"{name}/database.dump", told)
            listed = await vault.put(f"{name}/files", repository.files(connection))
        files, file_bytes, lost = await _copy_files(vault, storage, name, facts["rows"]["stored_files"], progress)
        manifest = Manifest(
            name=name, **facts, release=__version__, dump=dump, listing=listed, files=files, file_bytes=file_bytes, lost=lost,
            pool=vault.pool, seconds=round(time.monotonic() - began, 3),
        )  # fmt: skip
        await vault.write(name, manifest)
        await repository.note(connection, manifest)
    log.info("backup_made", name=name, size=manifest.size, files=files, lost=len(lost), seconds=manifest.seconds)
    if lost:
        log.error("backup_without_files", name=name, count=len(lost), keys=lost[:_NAMED])
    return manifest


async def _copy_files(
    vault: Vault, storage: Storage, name: str, total: int, progress: Progress
) -> tuple[int, int, list[str]]:
    """Brings into the pool what is not there yet; how many the backup has, their bytes, and the keys that it has not."""
    files, size, lost = 0, 0, []
    shelf, kept = "", set[str]()

    async def copy(file: StoredBytes) -> bool:
        path = f"{vault.pool}/{file.key}"
        if path in kept:
            return True
        try:
            content = await vault.put(path, _bytes_of(storage, file))
        except FileNotFoundError:
            return False
        if (content.size, content.sha256) == (file.size, file.sha256):
            return True
        await vault.delete({path})
        return False

    async for batch in _batches(vault.listed(name)):
        for file in batch:
            if not file.key.startswith(f"{shelf}/"):
                shelf = file.key.split("/")[0]
                kept |= await vault.kept(f"{vault.pool}/{shelf}")
        done = await asyncio.gather(*(copy(file) for file in batch))
        files += sum(done)
        size += sum(file.size for file, fine in zip(batch, done, strict=True) if fine)
        lost += [file.key for file, fine in zip(batch, done, strict=True) if not fine]
        await progress(files, total, "stored files")
    return files, size, lost


async def verify(settings: Settings, name: str | None, tell: Tell) -> tuple[Manifest, Proof]:
    """Restores a backup (the newest, without a name) beside the present database, and compares everything.

    The time that it took is the proven time to restore. Raises BackupError that names what is not as it was.
    """
    vault, progress = Vault(settings), Progress(tell)
    manifest = await vault.manifest(name)
    server_url = str(settings.backup_scratch_url or settings.direct_url)
    began = time.monotonic()
    async with repository.connected(server_url) as connection:
        server = _fitting_server(connection, manifest)
    await _check_contents(vault, manifest)
    async with repository.scratch(server_url) as url:
        await _load(vault, manifest, url, server, progress)
        bad = await _failing(partial(_is_whole, vault), vault, manifest, progress)
        seconds = round(time.monotonic() - began, 3)
        async with repository.connected(url) as connection:
            wrong = await repository.wrong(connection, manifest, vault.listed(manifest.name))
    if bad:
        wrong.append(_damaged(bad))
    if wrong:
        log.error("backup_not_proven", name=manifest.name, wrong=wrong)
        raise BackupError(f"{manifest.name} does not restore what it should: {'; '.join(wrong)}")
    proof = Proof(at=utc_now(), restore_seconds=seconds)
    await vault.write(manifest.name, proof)
    async with repository.connected(settings.direct_url) as connection:
        await repository.note(connection, manifest, proof)
    log.info("backup_proven", name=manifest.name, restore_seconds=seconds)
    return manifest, proof


async def restore(settings: Settings, name: str | None, tell: Tell, *, replace: bool, check: bool = False) -> Manifest:
    """Puts a backup (the newest, without a name) in place of the present database, and its files where they were.

    All processes must be stopped, and none starts until all is back. Everybody signs in again, and jobs that had not
    ended at its moment run again. Raises BackupError; what is there stays until all rows of the backup are in. Files
    that are damaged in the backup stay away, and are named once all else is back. With `check` nothing is changed, and
    all that could refuse has been asked but for the processes, which may run.
    """
    vault, storage, progress = Vault(settings), Storage(settings), Progress(tell)
    manifest = await vault.manifest(name)
    standing = migrations.judge(manifest.schema_revision, None)
    if standing.state == "ahead":
        raise BackupError(
            f"{manifest.name} was made by release {manifest.release}, which is newer: restore it with that"
        )
    async with repository.connected(settings.direct_url) as connection:
        await repository.take_turn(connection)
        server = _fitting_server(connection, manifest)
        room = await repository.making_room(connection, replace=replace)
        await _check_contents(vault, manifest)
        if check:
            return manifest
        await repository.require_silence(connection)
        try:
            await _load(vault, manifest, settings.direct_url, server, progress, room)
        except BackupError as error:
            raise BackupError(f"{error} (the database is as it was)") from None
        await repository.settle(connection)
        bad = await _failing(partial(_put_back, vault, storage), vault, manifest, progress)
        await repository.finish(connection)
    log.info("backup_restored", name=manifest.name)
    if bad:
        raise BackupError(f"All is back but {_damaged(bad)}")
    return manifest


async def prune(settings: Settings, keep: int, days: int) -> list[str]:
    """Deletes backups that are neither among the newest `keep` nor younger than `days`, but never the newest proven one.

    Files go with the last backup that has them. Returns the names.
    """
    vault = Vault(settings)
    async with repository.connected(settings.direct_url) as connection:
        await repository.take_turn(connection)
        manifests = await vault.manifests()
        proofs = {one.name: await vault.proof(one.name) for one in manifests}
        proven = next((one.name for one in manifests if proofs[one.name]), None)
        old = utc_now() - timedelta(days=days)
        leaving = {one.name for one in manifests[keep:] if one.taken_at < old} - {proven}
        staying = [one for one in manifests if one.name not in leaving]
        unfinished = {name for name, at in (await vault.unfinished()).items() if at < utc_now() - _ABANDONED}
        for name in leaving | unfinished:
            await vault.delete(await vault.kept(name))
        if leaving:
            await _delete_files(vault, staying)
        await repository.forget(connection, leaving)
    return sorted(leaving)


async def _delete_files(vault: Vault, staying: list[Manifest]) -> None:
    """Those that no backup has; where another key is needed to know, all stay until the last of its backups goes."""
    for pool in await vault.pools():
        owners = [one for one in staying if one.pool == pool]
        if pool == vault.pool or not owners:
            used = {f"{pool}/{file.key}" for one in owners async for file in vault.listed(one.name)}
            await vault.delete(await vault.kept(pool) - used)


async def _check_contents(vault: Vault, manifest: Manifest) -> None:
    """Raises BackupError where the dump or the list of files is not what was written."""
    for name, written in (("database.dump", manifest.dump), ("files", manifest.listing)):
        if await content_of(vault.open(f"{manifest.name}/{name}")) != written:
            raise BackupError(f"{manifest.name}/{name} is damaged")


def _fitting_server(connection: repository.Connection, manifest: Manifest) -> int:
    """The major version of the server. Raises BackupError where the backup cannot be restored there from here."""
    server = connection.get_server_version().major
    if server < manifest.server:
        raise BackupError(f"{manifest.name} is of PostgreSQL {manifest.server}: it cannot be restored into {server}")
    programs.require(server)
    return server


async def _load(vault: Vault, manifest: Manifest, url: str, server: int, progress: Progress, first: str = "") -> None:
    chunks = vault.open(f"{manifest.name}/database.dump")
    told = progress.along(chunks, manifest.dump.size, "bytes of the database")
    await programs.load(url, server, told, first)


async def _failing(
    look: Callable[[StoredBytes], Awaitable[bool]], vault: Vault, manifest: Manifest, progress: Progress
) -> list[str]:
    """The keys of files that the backup should have and that `look` does not find whole."""
    bad: list[str] = []
    done = 0
    async for batch in _batches(vault.listed(manifest.name)):
        kept = [file for file in batch if file.key not in manifest.lost]
        fine = await asyncio.gather(*(look(file) for file in kept))
        bad += [file.key for file, whole in zip(kept, fine, strict=True) if not whole]
        done += len(batch)
        await progress(done, manifest.files, "stored files")
    return bad


def _damaged(keys: list[str]) -> str:
    return f"{len(keys)} files are damaged or gone: {', '.join(keys[:_NAMED])}"


async def _is_whole(vault: Vault, file: StoredBytes) -> bool:
    try:
        content = await content_of(vault.open(f"{vault.pool}/{file.key}"))
    except BackupError:
        return False
    return (content.size, content.sha256) == (file.size, file.sha256)


async def _put_back(vault: Vault, storage: Storage, file: StoredBytes) -> bool:
    # The bytes under a key never change: what is there, whole, is what was there.
    if await storage.size(file.key) == file.size:
        return True
    try:
        stored = await storage.put(vault.open(f"{vault.pool}/{file.key}"), file.key)
    except BackupError:
        return False
    if stored.sha256.hex() == file.sha256:
        return True
    await storage.delete(file.key)
    return False


async def _bytes_of(storage: Storage, file: StoredBytes) -> AsyncIterator[bytes]:
    if file.size:
        async for chunk in await storage.open(file.key, 0, file.size):
            yield chunk


async def _batches(files: AsyncIterator[StoredBytes]) -> AsyncIterator[list[StoredBytes]]:
    batch: list[StoredBytes] = []
    async for file in files:
        batch.append(file)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
