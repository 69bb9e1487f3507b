"""Sends a message per enqueued job after the commit: it starts at once and not at the reconciler's next round."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import structlog

from app.infra.breaker import Breaker
from app.infra.broker import Broker, BrokerError
from app.infra.database import Database
from app.kit.lifecycle import Check
from app.worker.enqueuing import TOKENS

log = structlog.get_logger(__name__)

_PAUSE = 0.005
"""Seconds between two sendings: under a stream of commits one takes the messages of several."""


class Relay:
    """Listens to the commits on one database; a thread of its own publishes.

    Nobody waits for it: with Redis down or frozen a commit costs what it always does.
    """

    name = "relay"
    start_timeout = 1.0
    stop_timeout = 2.0

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker
        self._waiting: Counter[str] = Counter()
        self._wake = threading.Condition()
        self.breaker = Breaker()
        self._stopping = False
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._publish, name="relay", daemon=True)
            self._thread.start()
            self._database.listeners.append(self._committed)

    async def stop(self) -> None:
        """Publishes what is waiting, for at most `stop_timeout`."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._database.listeners.remove(self._committed)
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.to_thread(thread.join, self.stop_timeout)

    def checks(self) -> list[Check]:
        return []

    def poke(self, tokens: Mapping[str, int]) -> None:
        """So many jobs became available, by queue. Returns at once."""
        with self._wake:
            self._waiting.update(tokens)
            self._wake.notify()

    def _committed(self, info: dict[Any, Any]) -> None:
        if TOKENS in info:
            self.poke(info.pop(TOKENS))

    def _publish(self) -> None:
        breaker = self.breaker
        while tokens := self._take():
            if not breaker.allows():
                continue  # the rows are there: the reconciler sends what is missing
            try:
                self._broker.send(tokens)
            except BrokerError as error:
                breaker.failed()
                log.warning("relay_failed", reason=str(error), tokens=tokens)
            else:
                breaker.succeeded()
                time.sleep(_PAUSE)

    def _take(self) -> dict[str, int]:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._stopping)
            tokens = dict(self._waiting)
            self._waiting.clear()
            return tokens
