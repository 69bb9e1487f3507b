"""How a worker gets its tokens, as a transport of Celery's; and what Celery is told.

A token is one message that we know, whatever was in the queue.
"""

from __future__ import annotations

import base64
import math
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

import structlog
from kombu import Exchange, Queue
from kombu.transport import virtual
from pydantic_core import from_json, to_json

from app.infra.broker import TOKEN, connections
from app.infra.redis import BROKEN
from app.infra.settings import Settings

log = structlog.get_logger(__name__)

RUN_NEXT = "run_next"
"""The name of the one Celery task."""
RETRY_SECONDS = 2.0
"""How long a worker leaves Redis alone that was gone or refused what it was asked for."""
_WAIT_SECONDS = 1
"""For so long Redis keeps the question for a token where there is none."""
_SILENCE_SECONDS = 1.0
"""Without an answer for so much longer the connection is dead."""


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


class ReconcilerChannel(Protocol):
    """The worker's end of what ties it to its reconciler."""

    near: socket.socket
    """Datagrams: how many jobs may be claimed now, by queue, in JSON. Never waits."""

    def tell(self, fact: str, /, **details: Any) -> None: ...


class TokenChannel(virtual.Channel):
    do_restore = False

    @property
    def queues(self) -> list[str]:
        """Those that are consumed from."""
        return list(self._active_queues)

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:  # noqa: FBT001, FBT002  kombu's signature
        super().basic_ack(delivery_tag, multiple)
        self._use_free_slot()

    def basic_reject(self, delivery_tag: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  kombu's signature
        super().basic_reject(delivery_tag, requeue)
        self._use_free_slot()

    def _use_free_slot(self) -> None:
        transport: Any = self.connection
        transport.deliver()

    def _restore(self, _: Any) -> None:
        """A token that was not used up: the reconciler sends another if there is work."""


class TokenTransport(virtual.Transport):
    """A worker's tokens: out of Redis, and while that takes or gives none, out of what the reconciler offers.

    Its connection is never lost, so that Celery's loop goes on without Redis: processes are watched, jobs taken and ended.
    A token is gone once it is taken; nothing about it is kept in Redis.
    """

    Channel = TokenChannel
    can_parse_url = True
    _loop: Any = None
    driver_type = driver_name = "tokens"
    implements = virtual.Transport.implements.extend(asynchronous=True)

    def register_with_event_loop(self, _: Any, loop: Any) -> None:
        options: Any = self.client.transport_options  # type: ignore[union-attr]
        settings: Settings = options["settings"]
        self._prefix = settings.redis_key_prefix
        self._time_limits: Mapping[str, float] = options["time_limits"]
        self._reconciler: ReconcilerChannel = options["reconciler"]()
        self._redis: Any = connections(settings).make_connection()
        self._watched: int | None = None
        self._asked: float | None = None
        self._again_at = -math.inf
        self._held: Counter[str] = Counter()
        """Tokens at hand, by queue."""
        self._loop = loop
        loop.add_reader(self._reconciler.near, self._take_offers)
        loop.on_tick.add(self._tick)

    def close_connection(self, connection: Any) -> None:
        if self._loop is not None:
            self._loop.on_tick.discard(self._tick)
            self._loop.remove(self._reconciler.near)
            self._hang_up()
            self._loop = None
        super().close_connection(connection)

    def _consuming(self) -> TokenChannel | None:
        channels: Any = self.channels
        return next((one for one in channels if one.queues), None)

    def deliver(self) -> None:
        """Makes messages of the tokens at hand, one for each free slot.

        Never in a tick: the pool sees in its own tick what it has to write to its processes. Where that came first, a
        message would lie there until something else woke the loop, up to a second later.
        """
        channel = self._consuming()
        while channel is not None and channel.qos.can_consume():
            found = [queue for queue in channel.queues if self._held[queue] > 0]
            if not found:
                return
            queue = random.choice(found)
            self._held[queue] -= 1
            self._deliver(message(queue, self._time_limits.get(queue)), queue)

    def _tick(self) -> None:
        channel = self._consuming()
        if channel is None:
            self._hang_up()  # the worker ends: what comes now is for others
        elif channel.qos.can_consume():
            self._ask(channel.queues)

    def _take_offers(self) -> None:
        with suppress(BlockingIOError):
            while offer := self._reconciler.near.recv(4096):
                self._held = Counter(from_json(offer))
        self.deliver()

    def _ask(self, queues: list[str]) -> None:
        now = time.monotonic()
        if self._asked is not None:
            if now > self._asked + _WAIT_SECONDS + _SILENCE_SECONDS:
                self._leave_alone("no answer")
        elif now >= self._again_at:
            names = [self._prefix + queue for queue in random.sample(queues, len(queues))]  # the first has precedence
            try:
                self._redis.send_command("BRPOP", *names, _WAIT_SECONDS)
            except BROKEN as error:
                self._leave_alone(error)
                return
            self._asked = now
            if self._watched is None:
                # One of our own: what the library closes by itself could not be taken out of the loop any more.
                self._watched = os.dup(self._redis._sock.fileno())  # noqa: SLF001  no other way leads to it
                self._loop.add_reader(self._watched, self._take_answer)

    def _take_answer(self) -> None:
        try:
            answer = self._redis.read_response(disable_decoding=True)
            queue, item = (None, None) if answer is None else (answer[0].decode().removeprefix(self._prefix), answer[1])
        except BROKEN as error:
            # Gone, or it refuses: a replica now, or something else under a queue's name.
            self._leave_alone(error)
            return
        self._asked = None
        if queue is not None:
            self._held[queue] += 1
            if item != TOKEN:
                self._reconciler.tell("foreign")
            self.deliver()

    def _leave_alone(self, reason: object) -> None:
        log.warning("redis_left_alone", reason=str(reason), seconds=RETRY_SECONDS)
        self._hang_up()
        self._again_at = time.monotonic() + RETRY_SECONDS

    def _hang_up(self) -> None:
        if self._watched is not None:
            self._loop.remove(self._watched)
            os.close(self._watched)
        self._redis.disconnect()
        self._watched = self._asked = None


def celery_settings(
    settings: Settings, time_limits: Mapping[str, float], reconciler: Callable[[], ReconcilerChannel]
) -> dict[str, Any]:
    """What Celery is told; the reasons are in docs/adr/0003 and 0008. `time_limits`: seconds by queue."""
    return {
        "broker_url": str(settings.redis_url),
        "broker_transport": f"{TokenTransport.__module__}:{TokenTransport.__qualname__}",
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "settings": settings,
            "time_limits": dict(time_limits),
            "reconciler": reconciler,
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
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # the lease decides
        "worker_enable_remote_control": False,  # whoever reaches Redis must not steer workers
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "timezone": "UTC",
        "beat_max_loop_interval": 1,
        "beat_enable_remote_control": False,
    }
