"""Celery beat with our scheduler: the schedules and their slots are rows, read at each tick."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import secrets
import signal
import socket
import time
from contextlib import suppress
from typing import Any

import structlog
from celery.apps.beat import Beat
from celery.beat import Scheduler

from app.infra import log_level
from app.infra.broker import Broker, BrokerError
from app.infra.metrics import expose
from app.schedules import clock
from app.schedules.builtin import BACKUPS, BUILT_IN
from app.worker.line import Line
from app.worker.metrics import BeatMetrics
from app.worker.presence import REPORT_SECONDS, Presence, leave

log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 1.0
"""Seconds: how late a new schedule, or one that another process changed, is noticed."""
_LEAVING = 1.0
"""Seconds that telling of the end may take."""


class DatabaseScheduler(Scheduler):
    """Keeps nothing between two ticks; a tick that fails is tried again."""

    def __init__(self, app: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._line = Line(app.our_settings, "beat")
        self._broker = Broker(app.our_settings)
        self._level = log_level.LevelInForce(app.our_settings)
        self._in_line = False
        self._stopping = False
        self._ticking: asyncio.Task[float] | None = None
        self._settings = app.our_settings
        self._id = f"{socket.gethostname()}/{os.getpid()}-{secrets.token_hex(3)}"
        self._metrics = BeatMetrics(app.our_settings)
        self._worked = self._reported = -math.inf
        self._handled = 0
        """Slots."""
        super().__init__(app, **options)

    def setup_schedule(self) -> None:
        """There is none in memory. Called once, when the beat begins."""
        expose(self._metrics.registry, self._settings)

    def stop(self) -> None:
        """A tick that runs now is broken off, and there is no other. For signal handlers: it raises nothing."""
        self._stopping = True
        if self._ticking is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._ticking.cancel)

    def tick(self, *_: Any) -> float:
        """Handles what is due; returns the seconds until the next look. Raises SystemExit once it is to stop."""
        if self._stopping:
            raise SystemExit
        self._ticking = self._loop.create_task(self._tick())
        try:
            seconds = self._loop.run_until_complete(self._ticking)
        except asyncio.CancelledError:
            raise SystemExit from None
        except Exception as error:  # noqa: BLE001  no database: the slots are still there when it comes back
            self._metrics.ticks.labels("failed").inc()
            log.warning("beat_tick_failed", reason=f"{type(error).__name__}: {error}")
            return _LONGEST_PAUSE
        self._metrics.ticks.labels("done").inc()
        return seconds

    async def _tick(self) -> float:
        if not self._in_line:
            await clock.put_built_in(self._line.fetch, (*BUILT_IN, *(BACKUPS if self._settings.backup_url else ())))
            self._in_line = True
        handled = self._handled
        if tokens := await clock.tick(self._line.fetch, self._count):
            self._announce(tokens)
            self._worked = time.monotonic()
        if time.monotonic() >= self._reported + REPORT_SECONDS:
            since = time.monotonic() - self._worked
            await Presence(self._id, "beat", os.getpid(), [], [], 0).report(
                self._line, since if math.isfinite(since) else None
            )
            self._reported = time.monotonic()
            self._heed_level()
        seconds = await clock.seconds_to_next(self._line.fetch)
        self._metrics.lag.set(max(0.0, -(seconds or 0.0)))
        if seconds is None or (seconds < 0 and self._handled == handled):  # what is due now cannot be computed
            return _LONGEST_PAUSE
        return min(_LONGEST_PAUSE, max(0.05, seconds))

    def _count(self, outcome: str, slots: int) -> None:
        self._handled += slots
        self._metrics.slots.labels(outcome).inc(slots)

    def _heed_level(self) -> None:
        try:
            self._level.heed(self._broker.value(log_level.key(self._settings)))
        except BrokerError:
            self._level.nothing_heard()

    def _announce(self, tokens: dict[str, int]) -> None:
        try:
            self._broker.send(tokens)
        except BrokerError as error:
            log.info("beat_without_broker", reason=str(error))  # the reconciler sends them

    def should_sync(self) -> bool:
        return False

    def close(self) -> None:
        # Bounded: a farewell is news for operators, and a database that does not answer must not hold up the end.
        with suppress(Exception):
            self._loop.run_until_complete(asyncio.wait_for(leave(self._line, self._id), _LEAVING))
        self._line.close()
        self._loop.run_until_complete(asyncio.sleep(0))  # the socket goes in a pass of the loop
        self._loop.close()

    @property
    def info(self) -> str:
        return "    . schedules -> PostgreSQL"


class DatabaseBeat(Beat):
    """Celery's, but for the signals: its handler raises wherever the process is just then, and not everything there lets
    an error through.
    """

    def run(self) -> None:
        super().run()
        gc.freeze()  # else the interpreter looks through all that it holds before it ends (0.7 s of CPU)

    def install_sync_handler(self, service: Any) -> None:
        scheduler: DatabaseScheduler = service.scheduler
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: scheduler.stop())
