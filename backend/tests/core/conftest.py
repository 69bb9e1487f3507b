from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest


@pytest.fixture
async def empty_database_url(database_url: str) -> AsyncIterator[str]:
    """A database that was never migrated."""
    name = f"test_empty_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"CREATE DATABASE {name}")
    yield f"{database_url.rsplit('/', 1)[0]}/{name}"
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def future_schema(database_url: str) -> AsyncIterator[str]:
    """The database says that a revision was applied which this release does not know."""
    connection = await asyncpg.connect(database_url)
    present = await connection.fetchval("SELECT version_num FROM alembic_version")
    await connection.execute("UPDATE alembic_version SET version_num = 'ffff'")
    await connection.close()
    yield "ffff"
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = $1", present)
    await connection.close()
