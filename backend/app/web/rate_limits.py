"""Rate limits and their headers (draft-ietf-httpapi-ratelimit-headers-10): shared through Redis, local without it."""

import math
import time
from dataclasses import dataclass

from fastapi import Request, Response
from limits.aio.storage import MemoryStorage, RedisStorage
from redis.exceptions import ResponseError

from app.infra.redis import Redis, RedisUnavailable
from app.infra.settings import Settings
from app.kit.errors import RateLimited
from app.web.client_address import client_address


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` requests in `seconds`, counted from the first one. `RATE_LIMIT_SCALE` multiplies the limit."""

    name: str
    limit: int
    seconds: int


class RateLimiter:
    """Counts requests against quotas. While Redis is away each process counts for itself: no door stands open."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._scale = settings.rate_limit_scale
        self._shared = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=f"{settings.redis_key_prefix}limits",
            # Its types know of plain values only; it passes this one on as it is.
            connection_pool=redis.connections,  # type: ignore[arg-type]
        )
        self._local = MemoryStorage()

    async def take(self, quota: Quota, key: str) -> dict[str, str]:
        """Counts one request of `key`; the headers that say what is left. Raises RateLimited when nothing is."""
        limit = max(1, round(quota.limit * self._scale))
        count, ends = await self._count(f"{quota.name}:{key}", quota.seconds)
        seconds_left = max(1, math.ceil(ends - time.time()))
        headers = {
            "RateLimit-Policy": f'"{quota.name}";q={limit};w={quota.seconds}',
            "RateLimit": f'"{quota.name}";r={max(0, limit - count)};t={seconds_left}',
        }
        if count > limit:
            raise RateLimited(retry_after=seconds_left, headers=headers)
        return headers

    async def _count(self, key: str, seconds: int) -> tuple[int, float]:
        try:
            count = await self._redis.guard(self._shared.incr, key, seconds)
            return count, await self._redis.guard(self._shared.get_expiry, key)
        except (RedisUnavailable, ResponseError):  # the latter: its memory is full, or a right is missing
            return await self._local.incr(key, seconds), await self._local.get_expiry(key)


class LimitedByAddress:
    """A dependency: the route takes `quota` requests of one client address, and `in_all` of everyone together.

    Its headers are on every answer of the route, refusals included.
    """

    def __init__(self, quota: Quota, in_all: Quota) -> None:
        self._quota = quota
        self._in_all = in_all

    async def __call__(self, request: Request, response: Response) -> None:
        limiter: RateLimiter = request.app.state.rate_limiter
        headers = await limiter.take(self._quota, client_address(request.scope))
        request.state.answer_headers = headers
        response.headers.update(headers)
        await limiter.take(self._in_all, "")
