"""A release and the next one on one database: one after the other, side by side, and back."""

from __future__ import annotations

import asyncio
import re

import asyncpg
import httpx2
import pytest
import typer

from app.cli.migrate import CODES, migrate
from app.core.schema_gate import SchemaGate
from app.infra import migrations
from app.infra.database import Database
from app.infra.settings import Settings
from tests.migrations.releases import BACK, EXPAND, Release
from tests.migrations.test_migrations import address
from tests.processes import running


@pytest.fixture
async def database_url(empty_database_url: str) -> str:
    """Of this test alone, at the version of this release."""
    await migrations.upgrade(address(empty_database_url), say=lambda _: None)
    return empty_database_url


async def upgrade(database_url: str, **options: float) -> list[str]:
    said: list[str] = []
    await migrations.upgrade(address(database_url), say=said.append, **options)
    return [re.sub(r"\d+\.\d\d s", "N s", line) for line in said]


async def state(database_url: str) -> str:
    return (await migrations.standing(address(database_url))).state


async def test_the_old_release_goes_on_while_the_new_schema_comes_and_after(
    api: httpx2.AsyncClient, database: Database, settings: Settings, database_url: str, newer: Release
) -> None:
    new = newer.add(EXPAND, downgrade=BACK, serves=newer.base)
    workspace = (await api.get("/workspaces/none/members")).status_code  # any route: the scope is read from the schema
    assert workspace in {404, 422}

    async def serve() -> None:
        for number in range(10):
            assert (await api.post("/labels", json={"name": f"label {number}"})).status_code == 201

    with newer.installed():
        said, _ = await asyncio.gather(upgrade(database_url), serve())
        assert said == [f"migrating from {newer.base} to {new}", f"{new} (N s)"]
        assert await state(database_url) == "head"
    # The code is the old release's again: it runs, starts anew, and its own migration (a rollback's) leaves all as it is.
    await serve_once(api)
    await SchemaGate(database, settings).start()
    assert await state(database_url) == "served"
    assert await upgrade(database_url) == [
        f"the schema ({new}) is newer than this release ({newer.base}), which still runs on it"
    ]


async def serve_once(api: httpx2.AsyncClient) -> None:
    created = await api.post("/labels", json={"name": "after"})
    assert created.status_code == 201
    changed = await api.patch(f"/labels/{created.json()['id']}", json={"name": "changed"})
    assert changed.status_code == 200
    assert (await api.get("/labels")).status_code == 200


async def test_a_schema_that_no_longer_serves_the_old_release_is_refused_by_it(
    database: Database, settings: Settings, database_url: str, newer: Release
) -> None:
    first = newer.add(EXPAND, serves=newer.base)
    newer.add("op.drop_column('labels', 'color')", serves=first, contract="unused")
    with newer.installed():
        await upgrade(database_url)
    with pytest.raises(migrations.MigrationError, match="deploy the newer release"):
        await SchemaGate(database, settings).start()
    with pytest.raises(migrations.MigrationError, match="deploy the newer release"):
        await upgrade(database_url)


async def test_the_new_release_goes_back_and_the_old_one_cannot(database_url: str, newer: Release) -> None:
    newer.add(EXPAND, downgrade=BACK, serves=newer.base)
    with newer.installed():
        await upgrade(database_url)
    with pytest.raises(migrations.MigrationError, match="use the one that made it"):
        await migrations.downgrade(address(database_url), newer.base)
    with newer.installed():
        with pytest.raises(migrations.MigrationError, match="no earlier revision"):
            await migrations.downgrade(address(database_url), "ffff")
        await migrations.downgrade(address(database_url), newer.base, say=lambda _: None)
        assert await state(database_url) == "behind"
    assert await state(database_url) == "head"


async def test_a_revision_that_waits_for_a_table_gives_up_and_leaves_nothing(
    database_url: str, newer: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer.add(EXPAND, serves=newer.base)
    monkeypatch.setattr(migrations, "LOCK_TIMEOUT_SECONDS", 0.1)
    reader = await asyncpg.connect(database_url)
    await reader.execute("BEGIN; SELECT count(*) FROM labels")
    with newer.installed():
        with pytest.raises(migrations.MigrationError, match=f"left at {newer.base}: a long transaction holds a table"):
            await upgrade(database_url)
        await reader.close()
        assert await state(database_url) == "behind"
        await upgrade(database_url)
        assert await state(database_url) == "head"


async def test_of_many_runners_one_migrates(database_url: str, newer: Release) -> None:
    new = newer.add(EXPAND, serves=newer.base)
    with newer.installed():
        said = await asyncio.gather(*(upgrade(database_url) for _ in range(4)))
    assert sum(f"{new} (N s)" in lines for lines in said) == 1
    assert sum(f"the schema is at {new}" in lines for lines in said) == 3


async def test_a_runner_does_not_wait_for_ever(database_url: str) -> None:
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_advisory_lock($1)", migrations.LOCK)
    with pytest.raises(migrations.MigrationError, match="has held the lock for more than 0 s"):
        await upgrade(database_url, lock_timeout=0)
    await other.close()


async def begin_restore(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"CREATE SCHEMA {migrations.RESTORING}")
    await connection.close()


@pytest.mark.parametrize("wanted", CODES)
def test_the_check_tells_by_its_exit_code_how_the_schema_stands(
    empty_database_url: str, newer: Release, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    if wanted != "behind":
        newer.add(EXPAND, serves=newer.base) if wanted == "served" else newer.add(EXPAND) if wanted == "ahead" else None
        with newer.installed():
            asyncio.run(upgrade(empty_database_url))
    if wanted == "restoring":
        asyncio.run(begin_restore(empty_database_url))
    with pytest.raises(typer.Exit) as ended:
        migrate(check=True, sql=False, since="base", back_to=None)
    assert ended.value.exit_code == CODES[wanted]


def test_the_sql_is_the_same_as_what_is_run_and_needs_no_database(
    newer: Release, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = newer.add(EXPAND, serves=newer.base)
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    with newer.installed():
        migrate(check=False, sql=True, since=newer.base, back_to=None)
    printed = capsys.readouterr().out
    assert "ALTER TABLE labels ADD COLUMN icon" in printed
    assert "CREATE INDEX CONCURRENTLY ix_labels_icon" in printed
    assert f"SET version_num='{new}'" in printed
    assert f"COMMENT ON TABLE alembic_version IS '{newer.base}'" in printed


@pytest.mark.parametrize("role", ["worker", "beat"])
async def test_a_worker_and_a_beat_wait_for_their_schema_and_give_up_with_one_line(
    empty_database_url: str, role: str
) -> None:
    environment = {"DATABASE_URL": empty_database_url, "STARTUP_TIMEOUT": "1"}
    async with running(["app.cli", role], environment) as process:
        assert await process.exit_code() == 3
        assert process.lines == [
            f"{role}: not started: the schema is at nothing, this release needs {migrations.head()}: run taskapi migrate"
        ]
