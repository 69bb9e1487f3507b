from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest


@pytest.fixture
async def future_schema(database_url: str) -> AsyncIterator[str]:
    """The database says that a revision was applied which this release does not know, and which does not serve it."""
    connection = await asyncpg.connect(database_url)
    present = await connection.fetchval("SELECT version_num FROM alembic_version")
    await connection.execute(
        "UPDATE alembic_version SET version_num = 'ffff'; COMMENT ON TABLE alembic_version IS 'ffff'"
    )
    await connection.close()
    yield "ffff"
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"UPDATE alembic_version SET version_num = '{present}'")
    await connection.execute(f"COMMENT ON TABLE alembic_version IS '{present}'")
    await connection.close()
