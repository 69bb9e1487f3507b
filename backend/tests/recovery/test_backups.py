"""A backup is made, everything is lost, it is put back, and everything is as it was."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import AnyUrl, PostgresDsn, SecretStr

from app.infra import migrations
from app.infra.database import Database
from app.infra.settings import Settings
from app.infra.storage import Storage
from app.recovery import service
from app.recovery.errors import BackupError
from app.recovery.vault import Proof, Vault
from tests.conftest import PASSWORD, Account
from tests.infra.test_storage import Bucket, bucket  # noqa: F401  a fixture
from tests.processes import running
from tests.recovery.conftest import FILES, rows_of


def paths(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"backups/{pattern}") if path.is_file())


def environment_of(settings: Settings) -> dict[str, str]:
    assert settings.backup_key is not None
    return {
        "DATABASE_URL": str(settings.database_url).replace("+asyncpg", ""),
        "STORAGE_DIR": settings.storage_dir,
        "BACKUP_URL": str(settings.backup_url),
        "BACKUP_KEY": settings.backup_key.get_secret_value(),
    }


async def untold(*_: object) -> None:
    return


async def test_what_was_destroyed_comes_back_the_same(
    api: httpx2.AsyncClient, app: FastAPI, ada: Account, settings: Settings, lived_in: list[str], database_url: str
) -> None:
    made = await service.create(settings, untold)
    assert (made.files, made.file_bytes, made.lost) == (3, sum(map(len, FILES)), [])
    before = await rows_of(database_url)
    before.pop("backups")
    await app.state.lifecycle.stop()
    destroyed = await asyncpg.connect(database_url)
    await destroyed.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await destroyed.close()
    shutil.rmtree(settings.storage_dir)

    manifest, proof = await _without_note(settings)
    assert proof.restore_seconds > 0
    await service.restore(settings, None, untold, replace=False)

    after = await rows_of(database_url)
    assert after.pop("backups") == []
    assert after == before
    assert manifest.rows == {name: len(rows) for name, rows in after.items()} | {"backups": 0}
    _, now_proven = await service.verify(settings, made.name, untold)
    assert await Vault(settings).proof(made.name) == now_proven

    from app.core.app_factory import create_app

    restored = create_app(settings)
    async with restored.router.lifespan_context(restored):
        await restored.state.lifecycle.wait_started()
        transport = httpx2.ASGITransport(app=restored)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            # Nobody is still signed in: a sign-out of after the backup must not come undone.
            assert (await client.get("/tasks", headers=ada.headers)).status_code == 401
            signed_in = await client.post("/auth/login", data={"username": ada.email, "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
            assert [(await client.get(path)).content for path in lived_in] == FILES


async def _without_note(settings: Settings) -> tuple[object, Proof]:
    """Proves it while the database, which would note that, is gone."""
    with pytest.raises(asyncpg.UndefinedTableError):
        await service.verify(settings, None, untold)
    vault = Vault(settings)
    manifest = await vault.manifest(None)
    proof = await vault.proof(manifest.name)
    assert proof is not None
    return manifest, proof


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


async def test_restored_changes_are_history_to_every_reader(
    settings: Settings, app: FastAPI, lived_in: list[str], execute: asyncpg.Connection
) -> None:
    await service.create(settings, untold)
    await app.state.lifecycle.stop()
    await service.restore(settings, None, untold, replace=True)
    # On another server the ids of transactions count anew: this is the first snapshot that one can have.
    unseen = "SELECT count(*) FROM changes WHERE NOT pg_visible_in_snapshot(xact, '4:4:')"
    assert await execute.fetchval(unseen) == 0
    assert await execute.fetchval("SELECT count(*) FROM changes") > 5


async def test_a_restore_spares_what_is_there_and_who_is_there(
    settings: Settings, app: FastAPI, lived_in: list[str], database_url: str
) -> None:
    await service.create(settings, untold)
    with pytest.raises(BackupError, match="connections of the service are open"):
        await service.restore(settings, None, untold, replace=True)
    await app.state.lifecycle.stop()
    before = await rows_of(database_url)
    with pytest.raises(BackupError, match="not empty"):
        await service.restore(settings, None, untold, replace=False)
    assert await rows_of(database_url) == before


_TROUBLE = """
    CREATE SCHEMA trouble;
    CREATE FUNCTION trouble.meet() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$;
    CREATE EVENT TRIGGER trouble ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION trouble.meet();
"""
"""What happens when all rows are in, and the first index is made over them."""


async def test_a_restore_that_fails_in_the_middle_leaves_everything_as_it_was(
    settings: Settings, app: FastAPI, lived_in: list[str], database_url: str, execute: asyncpg.Connection
) -> None:
    await service.create(settings, untold)
    await app.state.lifecycle.stop()
    before = await rows_of(database_url)
    await execute.execute(_TROUBLE.format("RAISE 'the disk is full';"))
    with pytest.raises(BackupError, match=r"psql failed: .*the disk is full \(the database is as it was\)"):
        await service.restore(settings, None, untold, replace=True)
    assert await rows_of(database_url) == before
    assert (await migrations.standing(str(settings.database_url))).state == "head"
    await execute.execute("DROP SCHEMA trouble CASCADE")
    await service.restore(settings, None, untold, replace=True)
    before.pop("backups")
    assert (await rows_of(database_url)).items() >= before.items()


async def test_nobody_starts_beside_a_restore_and_one_that_is_killed_leaves_everything_as_it_was(
    settings: Settings,
    app: FastAPI,
    lived_in: list[str],
    database_url: str,
    execute: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_SECONDS", 0.1)
    await service.create(settings, untold)
    await app.state.lifecycle.stop()
    before = await rows_of(database_url)
    await execute.execute(_TROUBLE.format("PERFORM pg_advisory_xact_lock(42);"))
    await execute.execute("SELECT pg_advisory_lock(42)")
    async with running(["app.cli", "backup", "restore", "--replace"], environment_of(settings)) as process:
        await _until(execute, "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
        assert (await migrations.standing(str(settings.database_url))).state == "restoring"
        process.send(signal.SIGKILL)
        await execute.execute("SELECT pg_advisory_unlock(42)")
    await _until(execute, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'taskapi-backup')")
    assert await rows_of(database_url) == before
    assert (await migrations.standing(str(settings.database_url))).state == "head"
    await service.restore(settings, None, untold, replace=True)


async def _until(connection: asyncpg.Connection, condition: str) -> None:
    async with asyncio.timeout(20):
        while not await connection.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.05)


async def test_what_would_refuse_a_restore_is_told_while_everything_runs(
    settings: Settings, lived_in: list[str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await service.create(settings, untold)
    before = await rows_of(database_url)
    assert (await service.restore(settings, None, untold, replace=True, check=True)).name == made.name
    with pytest.raises(BackupError, match="not empty"):
        await service.restore(settings, None, untold, replace=False, check=True)
    for name, change, refused in (
        ("of-tomorrow", {"schema_revision": "ffff"}, "which is newer"),
        ("of-20", {"server": 20}, r"of PostgreSQL 20: it cannot be restored into \d+"),
    ):
        await Vault(settings).write(name, made.model_copy(update={"name": name, **change}))
        with pytest.raises(BackupError, match=refused):
            await service.restore(settings, name, untold, replace=True, check=True)
    monkeypatch.setattr(service.programs, "_folders", list)
    for refusing in (
        service.restore(settings, made.name, untold, replace=True, check=True),
        service.verify(settings, made.name, untold),
        service.create(settings, untold),
    ):
        with pytest.raises(BackupError, match=r"pg_dump \d+ is needed \(there is none\)"):
            await refusing
    assert await rows_of(database_url) == before


async def test_nothing_starts_on_half_a_restore_and_it_can_be_run_again(
    settings: Settings, app: FastAPI, lived_in: list[str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.create(settings, untold)
    await app.state.lifecycle.stop()

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(service.repository, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            await service.restore(settings, None, untold, replace=True)
    with pytest.raises(migrations.MigrationError, match="run it again with --replace"):
        await migrations.wait_usable(settings.model_copy(update={"startup_timeout": 0.1}))
    with pytest.raises(migrations.MigrationError, match="run it again with --replace"):
        await migrations.upgrade(str(settings.database_url), say=lambda _: None)
    with pytest.raises(BackupError, match="half a backup"):
        await service.create(settings, untold)
    await service.restore(settings, None, untold, replace=True)
    assert (await migrations.standing(str(settings.database_url))).state == "head"


@pytest.mark.parametrize("key", [SecretStr("k" * 32), None])
async def test_a_file_that_is_damaged_in_the_backup_stays_away_and_is_named_when_all_else_is_back(
    settings: Settings,
    app: FastAPI,
    lived_in: list[str],
    tmp_path: Path,
    execute: asyncpg.Connection,
    key: SecretStr | None,
) -> None:
    settings = settings.model_copy(update={"backup_key": key})
    await service.create(settings, untold)
    victim = next(path for path in paths(tmp_path, "files-*/*/*") if path.stat().st_size > 100_000)
    content = bytearray(victim.read_bytes())
    content[70_000] ^= 1
    victim.write_bytes(content)
    await app.state.lifecycle.stop()
    shutil.rmtree(settings.storage_dir)
    damaged = f"{victim.parent.name}/{victim.name}"
    with pytest.raises(BackupError, match=f"All is back but 1 files are damaged or gone: {damaged}"):
        await service.restore(settings, None, untold, replace=True)
    kept = await execute.fetch("SELECT storage_key FROM stored_files")
    sizes = [await Storage(settings).size(row["storage_key"]) for row in kept]
    assert sizes.count(None) == 1
    assert sorted(filter(None, sizes)) == sorted(len(content) for content in FILES if len(content) < 100_000)
    assert (await migrations.standing(str(settings.database_url))).usable


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


async def test_a_damaged_dump_is_found_before_anything_is_replaced(
    settings: Settings, app: FastAPI, lived_in: list[str], tmp_path: Path, database_url: str
) -> None:
    plain = settings.model_copy(update={"backup_key": None})
    await service.create(plain, untold)
    dump = paths(tmp_path, "*/database.dump")[0]
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    with pytest.raises(BackupError, match=r"database.dump is damaged"):
        await service.verify(plain, None, untold)
    await app.state.lifecycle.stop()
    before = await rows_of(database_url)
    with pytest.raises(BackupError, match=r"database.dump is damaged"):
        await service.restore(plain, None, untold, replace=True)
    assert await rows_of(database_url) == before


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
