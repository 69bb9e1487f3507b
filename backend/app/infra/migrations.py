"""The schema's version: what this code needs, what the database has, and the one runner that brings it there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

if TYPE_CHECKING:
    from collections.abc import Callable

BACKEND = Path(__file__).resolve().parents[2]
LOCK = 7_236_418_055
"""The session advisory lock that only one migrator at a time holds; any fixed number does."""
_POLL_SECONDS = 0.2


class MigrationError(Exception):
    """The schema could not be brought to the head; the message is for the operator."""


def _config(connection: Connection | None = None) -> Config:
    config = Config(str(BACKEND / "alembic.ini"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The revision that this code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise MigrationError("There are no migrations in this release")
    return revision


def knows(revision: str) -> bool:
    """Whether this code has heard of a revision; a schema from the future is one that it has not."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


async def current(connection: AsyncConnection) -> str | None:
    """The database's revision; None where nothing was migrated yet."""
    try:
        revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:
        await connection.rollback()
        return None
    return str(revision) if revision is not None else None


async def upgrade(database_url: str, *, lock_timeout: float = 60, say: Callable[[str], None] = print) -> None:
    """Brings the schema to the head, under an advisory lock on a connection of its own.

    Waits at most `lock_timeout` seconds for another migrator. Raises MigrationError.
    """
    engine = create_async_engine(database_url, poolclass=pool.NullPool, connect_args={"timeout": 5})
    try:
        async with engine.connect() as connection:
            await _take_lock(connection, lock_timeout, say)
            before = await current(connection)
            if before is not None and not knows(before):
                raise MigrationError(f"The schema ({before}) is newer than this release: deploy the newer release")
            if before == head():
                say(f"schema is at {before}")
                return
            # A migration that waits for a lock makes everyone behind it wait too: give up early instead.
            await connection.execute(text("SET lock_timeout = '3s'"))
            await connection.execute(text("SET statement_timeout = '15min'"))
            await connection.commit()
            await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))
            await connection.commit()
            say(f"schema migrated from {before or 'empty'} to {head()}")
    finally:
        await engine.dispose()


async def _take_lock(connection: AsyncConnection, seconds: float, say: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    told = False
    while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        await connection.commit()
        if loop.time() > until:
            raise MigrationError(f"Another migration has held the lock for more than {seconds:.0f} s")
        if not told:
            say("another migration is running; waiting for it")
            told = True
        await asyncio.sleep(_POLL_SECONDS)
    await connection.commit()
