"""Keeps the api at the log level that an operator asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from app.infra import log_level
from app.infra.redis import RedisUnavailable
from app.kit.lifecycle import BackgroundLoop

if TYPE_CHECKING:
    from app.infra.redis import Redis
    from app.infra.settings import Settings


class LevelWatch(BackgroundLoop):
    """A component."""

    name = "log_level"

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._redis = redis
        self._key = log_level.key(settings)
        self._level = log_level.LevelInForce(settings)

    async def run(self) -> None:
        while True:
            try:
                # Unlike GET it takes what is no string for nothing.
                self._level.heed((await self._redis.execute("MGET", self._key))[0])
            except (RedisUnavailable, ResponseError):
                self._level.nothing_heard()
            await asyncio.sleep(log_level.LOOK_SECONDS)
