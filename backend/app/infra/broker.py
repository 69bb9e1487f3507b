"""The queues in Redis: one list each, whose *length* is all it says.

An item of the list is a token, "this queue has work". What is in it is never read: the worker's transport puts the one
message that we know in its place, so that a forged, repeated, old or garbled item is one token and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.infra.redis import BROKEN
from app.infra.settings import Settings

log = structlog.get_logger(__name__)

TOKENS_CAP = 100
"""Tokens that a queue holds at most: so many processes wake at once, and one that woke goes on while there is work."""
TOKEN = b"{}"


class BrokerError(Exception):
    """Redis did not take or answer it in time."""


def connections(settings: Settings) -> ConnectionPool:
    """Blocking ones, that give up after `redis_timeout` and try nothing twice."""
    return ConnectionPool.from_url(
        str(settings.redis_url),
        socket_timeout=settings.redis_timeout,
        socket_connect_timeout=settings.redis_timeout,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


class Broker:
    """Sends tokens and counts them; blocking, for threads. Connects when first used."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.redis_key_prefix
        self._redis = Redis.from_pool(connections(settings))

    def send(self, tokens: Mapping[str, int]) -> None:
        """Adds so many tokens to each queue, of which it keeps `TOKENS_CAP`. Raises BrokerError."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for queue, count in tokens.items():
                    if count > 0:
                        pipeline.lpush(self._prefix + queue, *[TOKEN] * min(count, TOKENS_CAP))
                        pipeline.ltrim(self._prefix + queue, 0, TOKENS_CAP - 1)
                pipeline.execute()
        except BROKEN as error:
            raise BrokerError(str(error)) from error

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        """How many tokens each queue holds. Raises BrokerError.

        What stands under a queue's name and is no list is removed: workers cannot take from any queue while it is there.
        """
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for queue in queues:
                    pipeline.llen(self._prefix + queue)
                answers = dict(zip(queues, pipeline.execute(raise_on_error=False), strict=True))
            for queue, answer in answers.items():
                if isinstance(answer, Exception):
                    if not str(answer).startswith("WRONGTYPE"):
                        raise answer
                    log.error("queue_was_no_list", queue=queue)
                    self._redis.delete(self._prefix + queue)
                    answers[queue] = 0
                else:
                    answers[queue] = int(answer)
        except BROKEN as error:
            raise BrokerError(str(error)) from error
        return answers

    def value(self, key: str) -> Any:
        """The string that stands under the key, None where none does. Raises BrokerError."""
        try:
            return self._redis.mget(key)[0]  # GET refuses what is no string
        except BROKEN as error:
            raise BrokerError(str(error)) from error

    def close(self) -> None:
        self._redis.close()
