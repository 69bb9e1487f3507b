"""A database of the test's own, with people, tasks and files in it, and a folder for backups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx2
import pytest
from pydantic import AnyUrl, SecretStr

from app.infra import migrations
from app.infra.settings import Settings
from app.recovery import programs
from app.recovery.errors import BackupError

FILES = [b"one", b"two" * 40_000, bytes(range(256)) * 4]


@pytest.fixture(scope="session", autouse=True)
def _clients() -> None:
    """The backups need PostgreSQL's own programs, of the server's version."""
    import os

    async def version() -> int:
        connection = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
        try:
            return connection.get_server_version().major
        finally:
            await connection.close()

    try:
        programs.find("pg_dump", asyncio.run(version()))
    except BackupError as error:
        pytest.skip(str(error))


@pytest.fixture
async def database_url(empty_database_url: str) -> str:
    url = empty_database_url.replace("postgresql://", "postgresql+asyncpg://")
    await migrations.upgrade(url, say=lambda _: None)
    return empty_database_url


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    url = AnyUrl(f"file://{tmp_path}/backups")
    return settings.model_copy(update={"backup_url": url, "backup_key": SecretStr("k" * 32)})


@pytest.fixture
async def lived_in(api: httpx2.AsyncClient) -> list[str]:
    """Tasks of every state with history, comments and attachments; the paths of the attachments' bytes."""
    tasks = [(await api.post("/tasks", json={"title": f"task {number}"})).json() for number in range(5)]
    await api.patch(f"/tasks/{tasks[0]['id']}", json={"title": "changed", "priority": "high"})
    await api.post(f"/tasks/{tasks[1]['id']}/complete")
    await api.post(f"/tasks/{tasks[2]['id']}/archive")
    await api.delete(f"/tasks/{tasks[3]['id']}")
    await api.post(f"/tasks/{tasks[4]['id']}/comments", json={"body": "a comment"})
    await api.post("/tasks/bulk", json={"update": [{"id": tasks[4]["id"], "status": "blocked"}]})
    paths = []
    for number, content in enumerate(FILES):
        path = f"/tasks/{tasks[4]['id']}/attachments"
        made = await api.post(path, files={"file": (f"{number}.bin", content)})
        assert made.status_code == 201, made.text
        paths.append(f"{path}/{made.json()['id']}/content")
    return paths


async def rows_of(database_url: str) -> dict[str, list[str]]:
    """Every row of every table, as text; without the columns that a restore sets."""
    connection = await asyncpg.connect(database_url)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = {}
    for name in sorted(row["tablename"] for row in tables):
        rows = await connection.fetch(f"SELECT to_jsonb(t) - 'xact' - 'revoked_at' AS row FROM {name} AS t")
        found[name] = sorted(row["row"] for row in rows)
    await connection.close()
    return found


@pytest.fixture
async def execute(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


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
