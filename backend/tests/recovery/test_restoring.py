"""Everything is lost, a backup is put back, and everything is as it was; or nothing has changed."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.infra import migrations
from app.infra.settings import Settings
from app.infra.storage import Storage
from app.recovery import service
from app.recovery.errors import BackupError
from app.recovery.vault import Proof, Vault
from tests.conftest import PASSWORD, Account
from tests.infra.test_storage import Bucket, bucket  # noqa: F401  a fixture
from tests.processes import running
from tests.recovery.conftest import FILES, environment_of, paths, rows_of, untold


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
