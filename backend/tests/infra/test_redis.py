from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic_core import MultiHostUrl
from redis.exceptions import ResponseError

from app.infra.redis import Redis, RedisUnavailable
from app.infra.settings import Settings
from tests.proxy import Proxy, proxy_to


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    server = settings.redis_url.hosts()[0]
    async with proxy_to(server["host"] or "", server["port"] or 6379) as proxy:
        yield proxy


@pytest.fixture
async def redis(settings: Settings, proxy: Proxy) -> AsyncIterator[Redis]:
    host = settings.redis_url.hosts()[0]
    url = MultiHostUrl.build(scheme="redis", **{**host, "host": "127.0.0.1", "port": proxy.port})
    redis = Redis(settings.model_copy(update={"redis_url": url, "redis_timeout": 0.1}))
    await redis.start()
    yield redis
    await redis.stop()


async def test_a_command_is_answered(redis: Redis) -> None:
    assert await redis.execute("ECHO", "hello") == b"hello"


async def test_a_frozen_redis_is_given_up_and_then_left_alone(redis: Redis, proxy: Proxy) -> None:
    await redis.execute("PING")
    proxy.freeze()
    for _ in range(3):
        with pytest.raises(RedisUnavailable) as failure:
            await redis.execute("PING")
        assert isinstance(failure.value.__cause__, Exception)
    with pytest.raises(RedisUnavailable) as refusal:
        await redis.execute("PING")
    assert refusal.value.__cause__ is None  # it was not even tried


async def test_it_is_used_again_when_it_is_back(redis: Redis, proxy: Proxy) -> None:
    proxy.freeze()
    for _ in range(3):
        with pytest.raises(RedisUnavailable):
            await redis.execute("PING")
    proxy.thaw()
    redis.breaker._closed_again = 0.0  # the pause is over
    assert await redis.execute("PING")
    assert await redis.execute("PING")


async def test_a_refused_command_is_no_reason_to_leave_redis_alone(redis: Redis) -> None:
    for _ in range(5):
        with pytest.raises(ResponseError):
            await redis.execute("NONSENSE")
    assert await redis.execute("PING")


async def test_start_and_stop_need_no_redis(settings: Settings) -> None:
    redis = Redis(settings.model_copy(update={"redis_url": MultiHostUrl("redis://127.0.0.1:1/0")}))
    await redis.stop()
    await redis.start()
    with pytest.raises(RedisUnavailable):
        await redis.execute("PING")
    await redis.stop()
    await redis.stop()


async def test_the_check_shows_the_memory_policy(redis: Redis) -> None:
    figures, _ = redis.checks()
    assert (await figures.probe())["maxmemory_policy"] == "noeviction"
