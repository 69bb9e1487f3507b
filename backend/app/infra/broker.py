"""Celery's side of Redis: one list a queue, whose *length* is all it says.

An item of the list is a token, "this queue has work". What is in it is never read: the worker's transport puts the one
message that we know in its place, so that a forged, repeated, old or garbled item is one token and nothing else.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import structlog
from celery.app.amqp import AMQP
from kombu import Connection, Exchange, Queue
from kombu.transport import redis as kombu_redis
from pydantic_core import to_json
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from app.infra.settings import Settings

log = structlog.get_logger(__name__)

RUN_NEXT = "run_next"
"""The name of the one Celery task."""
TOKENS_CAP = 1000
"""Tokens that a queue holds at most."""
VISIBILITY_SECONDS = 300
"""A token that a dead worker held comes back after this; by then it is surplus, and costs one cheap query."""
RECONNECT_SECONDS = 3
"""The longest pause between two tries of a worker to reach Redis."""
REFUSED_SECONDS = 0.5
"""How long a worker waits where Redis refuses what it asks for."""
_TOKEN = b"{}"


class BrokerError(Exception):
    """Redis did not take or answer it in time."""


class Broker:
    """Sends tokens and counts them; blocking, for threads. Connects when first used."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.redis_key_prefix
        self._redis = Redis.from_url(
            str(settings.redis_url),
            socket_timeout=settings.redis_timeout,
            socket_connect_timeout=settings.redis_timeout,
            retry=Retry(NoBackoff(), 0),
        )

    def send(self, tokens: Mapping[str, int]) -> None:
        """Adds so many tokens to each queue, of which it keeps `TOKENS_CAP`. Raises BrokerError."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for queue, count in tokens.items():
                    if count > 0:
                        pipeline.lpush(self._prefix + queue, *[_TOKEN] * min(count, TOKENS_CAP))
                        pipeline.ltrim(self._prefix + queue, 0, TOKENS_CAP - 1)
                pipeline.execute()
        except (RedisError, OSError) as error:
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
        except (RedisError, OSError) as error:
            raise BrokerError(str(error)) from error
        return answers

    def close(self) -> None:
        self._redis.close()


def message(queue: str, time_limit: float | None) -> dict[str, Any]:
    """The message that stands for any token of the queue (Celery's task protocol 2 in kombu's Redis envelope)."""
    number = str(uuid4())
    return {
        "body": base64.b64encode(to_json([[queue], {}, {}])).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": RUN_NEXT, "id": number, "timelimit": [time_limit, None]},
        "properties": {
            "correlation_id": number,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_tag": str(uuid4()),
            "body_encoding": "base64",
        },
    }


_unreadable: list[None] = []


def take_unreadable() -> int:
    """How many items this process took from Redis, since it was last asked, that were not even JSON."""
    count = len(_unreadable)
    del _unreadable[:count]
    return count


class TokenChannel(kombu_redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        # Celery ends a worker for what is raised here. A token that was taken off the list is lost; the reconciler sends
        # another if there is work.
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except ValueError:
            log.warning("token_unreadable")  # not even JSON
            _unreadable.append(None)
        except ResponseError as error:
            # Redis is full, or a replica now, or there is something else under a queue's name.
            log.warning("token_refused", reason=str(error))
            time.sleep(REFUSED_SECONDS)
        return None


class TokenTransport(kombu_redis.Transport):
    """kombu's Redis transport, deaf to what an item says."""

    Channel = TokenChannel

    def _deliver(self, _: Any, queue: Any) -> None:
        limits = self.client.transport_options["time_limits"]  # type: ignore[union-attr,index]
        super()._deliver(message(queue, limits.get(queue)), queue)


class _Connection(Connection):
    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        # kombu's pauses grow to 30 s: after a long outage that would be how late the first job starts.
        return super().ensure_connection(*args, **{**options, "interval_start": 0.5, "interval_max": RECONNECT_SECONDS})


class TokenAmqp(AMQP):
    """Celery's way to its broker, with our connections."""

    Connection = _Connection


def _broker_url(settings: Settings) -> str:
    url = str(settings.redis_url)
    if not url.startswith("unix://"):
        return url
    # kombu's name for a socket: redis+socket:///path?virtual_host=0
    path, _, query = url.removeprefix("unix://").partition("?")
    database = dict(part.partition("=")[::2] for part in query.split("&")).get("db", "0")
    return f"redis+socket://{path}?{urlencode({'virtual_host': database})}"


def celery_settings(settings: Settings, time_limits: Mapping[str, float]) -> dict[str, Any]:
    """What Celery is told; the reasons are in docs/adr/0003. `time_limits`: seconds by queue."""
    return {
        "broker_url": _broker_url(settings),
        "broker_transport": f"{TokenTransport.__module__}:{TokenTransport.__qualname__}",
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "global_keyprefix": settings.redis_key_prefix,
            "priority_steps": [0],  # priority is decided in PostgreSQL: one list a queue
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "visibility_timeout": VISIBILITY_SECONDS,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "time_limits": dict(time_limits),
        },
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": True,
        "task_default_queue": "default",
        "task_create_missing_queues": False,
        "task_queues": [Queue(name, Exchange(""), routing_key=name) for name in settings.worker_queues],
        "task_time_limit": max(time_limits.values()),
        "worker_concurrency": settings.worker_concurrency,
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 10_000,
        "worker_max_memory_per_child": 512_000,  # kilobytes
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # the lease decides
        "worker_enable_remote_control": False,  # whoever reaches Redis must not steer workers
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "timezone": "UTC",
        "beat_max_loop_interval": 1,
        "beat_enable_remote_control": False,
    }
