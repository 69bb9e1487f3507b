"""`taskapi doctor`: what an operator should know before the first request."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import typer
from sqlalchemy.exc import SQLAlchemyError

from app.cli.configuration import read_settings
from app.infra import migrations
from app.infra.redis import QUEUE_POLICY, Redis
from app.kit.errors import AppError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.infra.settings import Settings


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
    try:
        standing = await migrations.standing(str(settings.database_url))
    except (OSError, TimeoutError, SQLAlchemyError) as error:
        yield True, f"DATABASE_URL does not answer: {str(error).splitlines()[0]}"
        return
    yield False, "reachable"
    yield not standing.usable, standing.line


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
