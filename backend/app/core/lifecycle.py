"""Starting and stopping: components in order, each with a deadline, what was started is stopped whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from typing import TYPE_CHECKING, Literal

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.kit.lifecycle import Component

log = structlog.get_logger()

Phase = Literal["starting", "started", "draining", "stopped", "failed"]

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class AppLifecycleManager:
    """The life of one process. It is told to `begin`, later to `drain`, and to `stop`; `phase` says where it stands.

    A component that fails to start is tried again, with backoff and jitter, until `startup_timeout` seconds have
    passed since `begin` (or its own `start_timeout`, where that is longer); then `failure` holds one line for the
    operator, what was started is stopped and `on_failure` is called.
    """

    def __init__(
        self,
        components: Sequence[Component],
        *,
        startup_timeout: float,
        teardown_seconds: float,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._components = components
        self._startup_timeout = startup_timeout
        self._teardown_seconds = teardown_seconds
        self._on_failure = on_failure
        self._touched: list[Component] = []
        self._starting: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self.phase: Phase = "starting"
        self.step = ""
        """The component that is being started."""
        self.waiting_because: str | None = None
        """Why it did not start when it was last tried, in one line."""
        self.failure: str | None = None
        self.began = time.monotonic()
        self.told_to_drain = asyncio.Event()
        """Streams end when this is set."""

    @property
    def started(self) -> bool:
        """Whether requests are served; also while draining."""
        return self.phase in {"started", "draining"}

    @property
    def draining(self) -> bool:
        return self.phase == "draining"

    @property
    def uptime(self) -> float:
        """Seconds since the process began to start."""
        return time.monotonic() - self.began

    def begin(self) -> None:
        """Starts the components in the background: the probes answer meanwhile."""
        self.began = time.monotonic()
        self._starting = asyncio.create_task(self._start_all())

    async def wait_started(self) -> None:
        """Returns when everything runs. Raises RuntimeError when it will not."""
        await self._settled.wait()
        if not self.started:
            raise RuntimeError(self.failure or f"the application is {self.phase}")

    async def settled_within(self, seconds: float) -> None:
        """Returns when it is known whether the process will serve, at the latest after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()

    def drain(self) -> None:
        """No longer ready: probes say so, each answer closes its connection, streams end."""
        if self.phase == "started":
            self.phase = "draining"
            log.info("draining")
        elif self._starting is not None:
            self._settled.set()  # whoever waits for the start
        self.told_to_drain.set()

    async def stop(self) -> None:
        """Stops in reverse order, within `teardown_seconds` in all. A failing step never skips the next."""
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting
        if self.phase != "failed":
            self.phase = "stopped"
        self._settled.set()
        self.told_to_drain.set()
        await self._stop_all()

    async def _start_all(self) -> None:
        try:
            for component in self._components:
                self.step = component.name
                self._touched.append(component)
                began = time.monotonic()
                await self._start(component)
                log.info("component_started", component=component.name, seconds=round(time.monotonic() - began, 3))
        except _CannotStartError as error:
            await self._fail(str(error))
            return
        self.step = ""
        self.phase = "started"
        self._settled.set()
        log.info("started", seconds=round(self.uptime, 3))

    async def _start(self, component: Component) -> None:
        deadline = self.began + max(self._startup_timeout, component.start_timeout)
        pause = _FIRST_PAUSE
        while True:
            remaining = deadline - time.monotonic()
            try:
                async with asyncio.timeout(max(remaining, 0) if math.isfinite(remaining) else None):
                    await component.start()
            except Exception as error:
                self.waiting_because = _line(error)
                wait = random.uniform(pause / 2, pause)
                if time.monotonic() + wait >= deadline:
                    raise _CannotStartError(component.name, error) from error
                log.warning(
                    "component_not_started",
                    component=component.name,
                    error=self.waiting_because,
                    again_in=round(wait, 2),
                )
                await asyncio.sleep(wait)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self.waiting_because = None
                return

    async def _fail(self, failure: str) -> None:
        self.failure = failure
        self.phase = "failed"
        log.error("not_started", reason=failure)
        await self._stop_all()
        self._settled.set()
        self._on_failure()

    async def _stop_all(self) -> None:
        deadline = time.monotonic() + self._teardown_seconds
        while self._touched:
            component = self._touched.pop()
            remaining = max(deadline - time.monotonic(), 0.1)
            try:
                async with asyncio.timeout(min(component.stop_timeout, remaining)):
                    await component.stop()
            except Exception as error:  # noqa: BLE001  the next one must be stopped all the same
                log.error("component_not_stopped", component=component.name, error=_line(error))  # noqa: TRY400
            else:
                log.info("component_stopped", component=component.name)


class _CannotStartError(Exception):
    def __init__(self, name: str, cause: Exception) -> None:
        super().__init__(f"{name} could not be started: {_line(cause)}")


def _line(error: Exception) -> str:
    """An exception in one line for a person."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
