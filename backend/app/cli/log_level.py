"""`taskapi log-level`: how much all processes tell, for a while."""

from __future__ import annotations

import asyncio
import getpass
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from app.cli.configuration import read_settings
from app.infra import log_level, logging
from app.infra.redis import Redis
from app.kit.errors import AppError

if TYPE_CHECKING:
    from app.infra.settings import Settings


def run_log_level(level: str | None, *, minutes: int, by: str | None, back: bool) -> None:
    """Exit code 1 when Redis does not answer, 2 for a level that there is not."""
    settings = read_settings()
    key = log_level.key(settings)
    if back:
        _execute(settings, "DEL", key)
    elif level is not None:
        if level.upper() not in logging.LEVELS:
            _fail(f"the levels are {', '.join(logging.LEVELS)}", 2)
        who = by or f"{getpass.getuser()}@{socket.gethostname()}"
        change = log_level.Change(level.upper(), who[: log_level.BY_MAX], time.time() + minutes * 60)
        _execute(settings, "SET", key, log_level.encode(change), "EX", minutes * 60)
    now = log_level.decode(_execute(settings, "MGET", key)[0])
    if now is None:
        sys.stdout.write(f"{settings.log_level}, as LOG_LEVEL says\n")
    else:
        told = now.told()
        sys.stdout.write(f"{told['log_level']} until {told['until']}, by {told['by']}\n")


def _execute(settings: Settings, *command: Any) -> Any:
    async def run() -> Any:
        redis = Redis(settings)
        try:
            return await redis.execute(*command)
        finally:
            await redis.stop()

    try:
        return asyncio.run(run())
    except AppError as error:
        _fail(str(error.detail or error.title))


def _fail(reason: str, code: int = 1) -> NoReturn:
    sys.stderr.write(f"log-level: {reason}\n")
    raise typer.Exit(code)
