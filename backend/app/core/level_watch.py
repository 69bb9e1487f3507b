"""Keeps the api at the log level that an operator asked for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from app.infra import log_level
from app.infra.redis import RedisUnavailable

if TYPE_CHECKING:
    from app.infra.redis import Redis
    from app.infra.settings import Settings
    from app.kit.lifecycle import Check


class LevelWatch:
    """A component."""

    name = "log_level"
    start_timeout = 1.0
    stop_timeout = 1.0

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._redis = redis
        self._key = log_level.key(settings)
        self._level = log_level.LevelInForce(settings)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def checks(self) -> list[Check]:
        return []

    async def _watch(self) -> None:
        while True:
            try:
                # Unlike GET it takes what is no string for nothing.
                self._level.heed((await self._redis.execute("MGET", self._key))[0])
            except RedisUnavailable:
                self._level.nothing_heard()
            await asyncio.sleep(log_level.LOOK_SECONDS)
