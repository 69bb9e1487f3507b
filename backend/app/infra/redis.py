"""Redis or Valkey: messages, shared limits, live push. Down, the service is degraded and nothing waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from redis.asyncio import ConnectionPool
from redis.asyncio import Redis as Client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from app.infra.breaker import Breaker
from app.kit.errors import Unavailable
from app.kit.lifecycle import Check, CheckFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from app.infra.settings import Settings


QUEUE_POLICY = "noeviction"
"""The one `maxmemory-policy` under which a full Redis refuses messages instead of deleting them."""

BROKEN = (RedisError, OSError, AttributeError, TypeError, ValueError)
"""What the client raises when Redis is gone or refuses, and, the last three, when what answers there is no Redis."""


class RedisUnavailable(Unavailable):
    """Redis did not answer within its budget, or is being left alone because it did not."""

    code, title = "redis_unavailable", "Redis does not answer"


class Redis:
    """The process's door to Redis. A command takes at most `REDIS_TIMEOUT`; after three failures, no time at all."""

    name = "redis"
    start_timeout = 1.0
    stop_timeout = 1.0

    def __init__(self, settings: Settings) -> None:
        self._timeout = settings.redis_timeout
        self.breaker = Breaker()
        self._client = Client.from_url(
            str(settings.redis_url),
            socket_timeout=settings.redis_timeout,
            socket_connect_timeout=settings.redis_timeout,
            retry=Retry(NoBackoff(), 0),
        )

    @property
    def connections(self) -> ConnectionPool:
        """For libraries that speak to Redis themselves; they do it within `guard`."""
        return self._client.connection_pool

    async def start(self) -> None:
        """Nothing to wait for: connections are made when they are needed."""

    async def stop(self) -> None:
        await self._client.aclose()

    async def execute(self, *command: Any) -> Any:
        """One command's answer. Raises RedisUnavailable; ResponseError where Redis refuses the command itself."""
        return await self.guard(self._client.execute_command, *command)

    async def guard(self, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """What a library does on `connections`: the same budget, breaker and errors as for `execute`."""
        if not self.breaker.allows():
            raise RedisUnavailable
        try:
            async with asyncio.timeout(self._timeout):
                answer = await call(*arguments)
        except ResponseError:
            self.breaker.succeeded()
            raise
        except BROKEN as error:
            self.breaker.failed()
            raise RedisUnavailable from error
        self.breaker.succeeded()
        return answer

    def checks(self) -> list[Check]:
        return [
            Check("redis", self.figures, self._timeout * 4),
            Check("redis_policy", self.policy, self._timeout * 4),
        ]

    async def figures(self) -> Mapping[str, object]:
        """For people: how fast it answers, its version, load and memory policy."""
        started = time.perf_counter()
        await self.execute("PING")
        ping = time.perf_counter() - started
        server: Mapping[str, Any] = await self.execute("INFO")
        return {
            "ping_ms": round(ping * 1000, 2),
            "version": server.get("valkey_version") or server.get("redis_version"),
            "connected_clients": server.get("connected_clients"),
            "used_memory_bytes": server.get("used_memory"),
            "maxmemory_bytes": server.get("maxmemory"),
            "maxmemory_policy": server.get("maxmemory_policy"),
        }

    async def policy(self) -> Mapping[str, object]:
        """Raises CheckFailed under a `maxmemory-policy` that deletes messages."""
        memory: Mapping[str, Any] = await self.execute("INFO", "memory")
        policy = memory.get("maxmemory_policy")
        if policy != QUEUE_POLICY:
            raise CheckFailed("evicting_policy", maxmemory_policy=policy, wanted=QUEUE_POLICY)
        return {"maxmemory_policy": policy}
