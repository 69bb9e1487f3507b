"""Keeps an attempt's lease and limits from a thread of its own, whatever the handler is doing."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable

import structlog

from app.infra.settings import Settings
from app.worker import repository
from app.worker.attempt import Attempt, Stop
from app.worker.line import Line

log = structlog.get_logger(__name__)

RELEASE_GRACE = 2.0
"""Seconds that a handler has, once asked to give its job back, before its process ends."""


class Heartbeat:
    """One a pool process. Short jobs never notice that it exists."""

    def __init__(self, settings: Settings, release_at: Callable[[], float | None]) -> None:
        """`release_at`: when running jobs are to be given back (on `time.monotonic`), None while nobody shuts down."""
        self._lease = settings.job_lease_seconds
        self._every = settings.job_heartbeat_seconds
        self._tick = min(1.0, self._every / 4)
        self._line = Line(settings, "heartbeat")
        self._release_at = release_at
        self.attempt: Attempt | None = None
        """What the process runs now."""
        self._asked: tuple[Attempt, float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        with asyncio.Runner() as runner:
            while not self._stop.wait(self._tick):
                if (attempt := self.attempt) is not None:
                    runner.run(self._look_after(attempt))
            self._line.close()

    async def _look_after(self, attempt: Attempt) -> None:
        if time.monotonic() >= attempt.lease_until - self._lease + self._every:
            await self._renew(attempt)
        reason = attempt.stop or self._reason_to_stop(attempt)
        if reason is None:
            return
        attempt.ask_to_stop(reason)
        if self._asked is None or self._asked[0] is not attempt:
            self._asked = attempt, time.monotonic()
        grace = RELEASE_GRACE if reason is Stop.released else attempt.kind.grace
        if time.monotonic() >= self._asked[1] + grace:
            await self._end_hard(attempt)

    def _reason_to_stop(self, attempt: Attempt) -> Stop | None:
        now, release_at = time.monotonic(), self._release_at()
        if now >= attempt.lease_until:
            return Stop.lease_lost
        if now >= attempt.ends_at:
            return Stop.deadline if attempt.has_deadline else Stop.timeout
        if release_at is not None and now >= release_at:
            return Stop.released
        return None

    async def _renew(self, attempt: Attempt) -> None:
        sent = time.monotonic()
        try:
            rows = await self._line.fetch(repository.RENEW, attempt.held(lease=self._lease))
        except Exception as error:  # noqa: BLE001  until the lease is over there is time to try again
            log.warning("heartbeat_failed", job_id=str(attempt.id), reason=type(error).__name__)
            return
        if not rows:
            attempt.ask_to_stop(Stop.lease_lost)
            return
        attempt.lease_until = sent + self._lease
        if rows[0]["cancelled"]:
            attempt.ask_to_stop(Stop.cancelled)

    async def _end_hard(self, attempt: Attempt) -> None:
        if self.attempt is not attempt:
            return
        try:
            state = await attempt.give_up(self._line.fetch)
        except Exception:  # noqa: BLE001  the lease ends it
            state = None
        if self.attempt is not attempt:  # it ended by itself meanwhile, and the process may be at another job
            return
        fields = {"job_id": str(attempt.id), "kind": attempt.kind.kind, "reason": attempt.stop}
        log.error("attempt_ended_hard", state=state, **fields)
        os.kill(os.getpid(), signal.SIGKILL)
