"""`taskapi doctor`: what an operator should know before the first request."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import typer
from sqlalchemy import pool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from app.cli.configuration import read_settings
from app.infra import migrations
from app.infra.redis import QUEUE_POLICY, Redis
from app.kit.errors import AppError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.infra.settings import Settings

_CONNECT_SECONDS = 5


def run_doctor() -> None:
    """Prints a line for each finding; exit code 1 when one of them is a fault."""
    faults = asyncio.run(_examine(read_settings()))
    raise typer.Exit(1 if faults else 0)


async def _examine(settings: Settings) -> int:
    faults = 0
    for problem in settings.problems():
        faults += 1
        _say("settings", problem)
    for name, examination in (("database", _database(settings)), ("redis", _redis(settings))):
        async for fault, finding in examination:
            faults += fault
            _say(name, finding)
    return faults


def _say(part: str, finding: str) -> None:
    sys.stdout.write(f"{part + ':':<10} {finding}\n")


async def _database(settings: Settings) -> AsyncIterator[tuple[bool, str]]:
    engine = create_async_engine(
        str(settings.database_url), poolclass=pool.NullPool, connect_args={"timeout": _CONNECT_SECONDS}
    )
    try:
        async with engine.connect() as connection:
            present = await migrations.current(connection)
    except (OSError, TimeoutError, SQLAlchemyError) as error:
        yield True, f"DATABASE_URL does not answer: {str(error).splitlines()[0]}"
        return
    finally:
        await engine.dispose()
    yield False, "reachable"
    needed = migrations.head()
    yield (
        present != needed,
        (
            f"schema is at {needed}"
            if present == needed
            else f"schema is at {present or 'nothing'}, this release needs {needed}: run taskapi migrate"
        ),
    )


async def _redis(settings: Settings) -> AsyncIterator[tuple[bool, str]]:
    redis = Redis(settings)
    try:
        policy = (await redis.figures())["maxmemory_policy"]
    except AppError as error:
        yield True, f"REDIS_URL does not answer: {error.detail}"
        return
    finally:
        await redis.stop()
    yield False, "reachable"
    yield (
        policy != QUEUE_POLICY,
        (
            f"maxmemory-policy is {policy}"
            if policy == QUEUE_POLICY
            else f"maxmemory-policy is {policy}: set {QUEUE_POLICY}, any other deletes messages when the memory is full"
        ),
    )
