"""`taskapi migrate`: the schema to the version that this release needs."""

import asyncio
import sys
from typing import Annotated

import typer
from sqlalchemy import pool
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from app.infra import migrations
from app.infra.settings import Settings


def migrate(
    *, check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when the schema is behind.")] = False
) -> None:
    """Bring the database schema to the version that this release needs, one migrator at a time."""
    settings = Settings()
    try:
        if check:
            asyncio.run(_check(settings))
        else:
            asyncio.run(migrations.upgrade(str(settings.database_url), lock_timeout=settings.startup_timeout))
    except (migrations.MigrationError, OSError, DBAPIError) as error:
        sys.stderr.write(f"migrate: {error}\n")
        raise typer.Exit(1) from error


async def _check(settings: Settings) -> None:
    engine = create_async_engine(str(settings.database_url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        revision = await migrations.current(connection)
    await engine.dispose()
    if revision != migrations.head():
        raise migrations.MigrationError(
            f"the schema is at {revision or 'nothing'}, this release needs {migrations.head()}"
        )
    sys.stdout.write(f"schema is at {revision}\n")
