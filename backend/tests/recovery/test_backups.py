"""What a backup holds, how it is proven, how long it is kept, and who can read it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx2
import pytest
from pydantic import AnyUrl, PostgresDsn, SecretStr

from app.infra.database import Database
from app.infra.settings import Settings
from app.infra.storage import Storage
from app.recovery import service
from app.recovery.errors import BackupError
from app.recovery.vault import Proof, Vault
from tests.infra.test_storage import Bucket, bucket  # noqa: F401  a fixture
from tests.processes import running
from tests.recovery.conftest import environment_of, paths, untold


async def test_a_backup_is_of_one_moment(
    settings: Settings, database: Database, lived_in: list[str], api: httpx2.AsyncClient, execute: asyncpg.Connection
) -> None:
    async def meanwhile(_: int, __: int | None, what: str) -> None:
        if what == "bytes of the database":
            await api.post("/tasks", json={"title": "too late"})

    made = await service.create(settings, meanwhile)
    assert await execute.fetchval("SELECT count(*) FROM tasks WHERE title = 'too late'") > 0
    assert made.rows["tasks"] == 5
    await service.verify(settings, made.name, untold)


async def test_a_proof_drops_the_scratch_databases_that_ended_ones_left_and_no_others(
    settings: Settings, lived_in: list[str], execute: asyncpg.Connection, database_url: str
) -> None:
    await service.create(settings, untold)
    ours = [f"taskapi_verify_{secrets.token_hex(4)}" for _ in range(2)]
    for name in ours:
        await execute.execute(f"CREATE DATABASE {name}")
    in_use = await asyncpg.connect(f"{database_url.rsplit('/', 1)[0]}/{ours[1]}")

    async def there() -> list[str]:
        rows = await execute.fetch("SELECT datname FROM pg_database WHERE datname = ANY ($1)", ours)
        return [row["datname"] for row in rows]

    await service.verify(settings, None, untold)
    assert await there() == [ours[1]]
    await in_use.close()
    async with service.repository.scratch(str(settings.direct_url)) as first:
        async with service.repository.scratch(str(settings.direct_url)):
            await (await asyncpg.connect(first.replace("+asyncpg", ""))).close()
        assert await there() == []


async def test_a_proof_is_noted_where_operators_look(
    settings: Settings, lived_in: list[str], execute: asyncpg.Connection
) -> None:
    made = await service.create(settings, untold)
    _, proof = await service.verify(settings, None, untold)
    row = await execute.fetchrow("SELECT * FROM backups")
    assert dict(row) == {
        "name": made.name,
        "taken_at": made.taken_at,
        "size": made.size,
        "verified_at": proof.at,
        "restore_seconds": proof.restore_seconds,
    }
    left = await execute.fetch("SELECT FROM pg_database WHERE datname LIKE 'taskapi_verify_%'")
    assert left == []


async def test_a_damaged_file_is_found(settings: Settings, lived_in: list[str], tmp_path: Path) -> None:
    await service.create(settings, untold)
    victim = next(path for path in paths(tmp_path, "files-*/*/*") if path.stat().st_size > 100_000)
    content = bytearray(victim.read_bytes())
    content[70_000] ^= 1
    victim.write_bytes(content)
    with pytest.raises(BackupError, match="1 files are damaged or gone"):
        await service.verify(settings, None, untold)


DAMAGES = {
    "DELETE FROM comments": "comments has 0 rows, it had 1",
    "UPDATE tasks SET version = version + 1 WHERE title = 'changed'": "1 tasks are of another version than their last change",
    "DELETE FROM changes WHERE id = (SELECT max(id) FROM changes)": "newest_change_id is",
    "ALTER TABLE comments DROP CONSTRAINT fk_comments_author_id": "constraints is",
    "UPDATE stored_files SET size = size + 1": "3 stored files are not as the backup lists them",
}


async def test_what_is_not_as_it_was_is_named(
    settings: Settings, lived_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.create(settings, untold)
    load = service.programs.load
    for damage, found in DAMAGES.items():

        async def load_and_damage(url: str, *rest: object, damage: str = damage) -> None:
            await load(url, *rest)
            connection = await asyncpg.connect(url.replace("+asyncpg", ""))
            await connection.execute(damage)
            await connection.close()

        monkeypatch.setattr(service.programs, "load", load_and_damage)
        with pytest.raises(BackupError, match=found):
            await service.verify(settings, None, untold)


async def test_a_stored_file_that_is_gone_is_named_and_the_rest_is_kept(
    settings: Settings, lived_in: list[str], execute: asyncpg.Connection
) -> None:
    key = await execute.fetchval("SELECT min(storage_key) FROM stored_files")
    await Storage(settings).delete(key)
    made = await service.create(settings, untold)
    assert (made.files, made.lost) == (2, [key])
    await service.verify(settings, None, untold)


async def test_files_are_kept_once_for_all_backups_and_go_with_the_last(
    settings: Settings, lived_in: list[str], api: httpx2.AsyncClient, tmp_path: Path
) -> None:
    def kept() -> int:
        return len(paths(tmp_path, "files-*/*/*"))

    first = await service.create(settings, untold)
    await api.delete(lived_in[0].removesuffix("/content"))
    second = await service.create(settings, untold)
    assert (first.files, second.files, kept()) == (3, 2, 3)
    assert await service.prune(settings, keep=1, days=0) == [first.name]
    assert kept() == 2
    await service.verify(settings, second.name, untold)


async def test_pruning_keeps_the_young_the_newest_and_the_newest_proven(
    settings: Settings, lived_in: list[str]
) -> None:
    vault = Vault(settings)
    made = await service.create(settings, untold)
    names = []
    for days in range(1, 6):
        old = made.model_copy(
            update={"name": f"old-{days}", "taken_at": datetime.now(UTC) - timedelta(days=days, hours=1)}
        )
        await vault.put(f"{old.name}/files", _nothing())
        await vault.write(old.name, old)
        names.append(old.name)
    await vault.write("old-4", Proof(at=datetime.now(UTC), restore_seconds=1))
    await vault.write("old-5", Proof(at=datetime.now(UTC), restore_seconds=1))
    assert await service.prune(settings, keep=1, days=2) == ["old-2", "old-3", "old-5"]
    assert [one.name for one in await vault.manifests()] == [made.name, "old-1", "old-4"]


async def _nothing():
    return
    yield b""


async def test_another_key_is_told_and_so_is_none(settings: Settings, lived_in: list[str]) -> None:
    await service.create(settings, untold)
    for key in (SecretStr("x" * 32), None):
        with pytest.raises(BackupError, match="made with another BACKUP_KEY"):
            await service.verify(settings.model_copy(update={"backup_key": key}), None, untold)


async def test_nothing_of_a_backup_can_be_read_without_the_key(
    settings: Settings, lived_in: list[str], tmp_path: Path, api: httpx2.AsyncClient
) -> None:
    await service.create(settings, untold)
    everything = b"".join(path.read_bytes() for path in paths(tmp_path, "**/*"))
    assert b"twotwo" not in everything
    assert b"PGDMP" not in everything
    plain = settings.model_copy(update={"backup_key": None})
    await service.create(plain, untold)
    assert any(path.read_bytes()[:5] == b"PGDMP" for path in paths(tmp_path, "*/database.dump"))
    await service.verify(plain, None, untold)


async def test_a_role_that_may_not_make_databases_is_told_what_to_set(
    settings: Settings, lived_in: list[str], execute: asyncpg.Connection
) -> None:
    await service.create(settings, untold)
    name = f"poor_{settings.redis_key_prefix.strip(':')}"
    await execute.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'poor'")
    try:
        address = str(settings.database_url).split("@", 1)[1]
        poor = PostgresDsn(f"postgresql+asyncpg://{name}:poor@{address}")
        with pytest.raises(BackupError, match="BACKUP_SCRATCH_URL"):
            await service.verify(settings.model_copy(update={"backup_scratch_url": poor}), None, untold)
    finally:
        await execute.execute(f"DROP ROLE {name}")


async def test_only_one_makes_or_deletes_backups_at_a_time(
    settings: Settings, lived_in: list[str], execute: asyncpg.Connection
) -> None:
    await service.repository.take_turn(execute)
    with pytest.raises(BackupError, match="try again later"):
        await service.create(settings, untold)
    with pytest.raises(BackupError, match="try again later"):
        await service.prune(settings, keep=1, days=0)


async def test_a_client_that_is_missing_or_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackupError, match=r"pg_dump 99 is needed \(.*\d+ in /.*\): install postgresql-client-99"):
        service.programs.find("pg_dump", 99)
    monkeypatch.setattr(service.programs, "_folders", list)
    with pytest.raises(BackupError, match="there is none"):
        service.programs.find("pg_dump", 18)


@pytest.mark.parametrize(
    ("server", "there", "found"),
    [
        (15, [18], None),  # it would set transaction_timeout, which 15 and 16 do not know
        (15, [18, 16], 16),
        (16, [15, 17], None),
        (17, [18], 18),
        (18, [19, 18, 17], 18),
    ],
)
def test_a_client_fits_the_server_or_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: int, there: list[int], found: int | None
) -> None:
    for version in there:
        program = tmp_path / str(version) / "pg_restore"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho 'pg_restore (PostgreSQL) {version}.1'\n")
        program.chmod(0o755)
    monkeypatch.setattr(service.programs, "_folders", lambda: [tmp_path / str(version) for version in there])
    if found:
        assert service.programs.find("pg_restore", server).parent.name == str(found)
    else:
        with pytest.raises(BackupError, match=f"pg_restore {server} is needed"):
            service.programs.find("pg_restore", server)


async def test_without_a_place_nothing_is_done(settings: Settings) -> None:
    with pytest.raises(BackupError, match="BACKUP_URL is not set"):
        await service.create(settings.model_copy(update={"backup_url": None}), untold)


async def test_a_bucket_does_as_well_as_a_folder(settings: Settings, lived_in: list[str], bucket: type[Bucket]) -> None:  # noqa: F811
    there = settings.model_copy(update={"backup_url": AnyUrl("s3://bucket/our/backups")})
    first = await service.create(there, untold)
    second = await service.create(there, untold)
    await service.verify(there, None, untold)
    assert await service.prune(there, keep=1, days=0) == [first.name]
    assert {key.split("/")[2] for key in bucket.objects} == {second.name, second.pool}


async def test_the_command_makes_lists_and_proves_and_ends_in_order(settings: Settings, lived_in: list[str]) -> None:
    async def said(*arguments: str, code: int = 0) -> list[str]:
        async with running(["app.cli", "backup", *arguments], environment_of(settings)) as process:
            assert await process.exit_code() == code, process.lines
            return process.lines

    name = (await said("create"))[-1]
    assert "restored in" in (await said("verify", name))[-1]
    (line,) = await said("list")
    assert line.startswith(name)
    assert "3 files" in line
    assert f"{name} of " in (await said("restore", "--check", "--replace"))[-1]
    assert "not empty" in (await said("restore", "--check", code=1))[-1]
    assert "connections of the service are open" in (await said("restore", "--replace", code=1))[-1]
    assert "There is no backup nothing" in (await said("verify", "nothing", code=1))[-1]
