"""What the process's parts look like to `AppLifecycleManager`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = structlog.get_logger()


class CheckFailed(Exception):
    """What is wrong, as a stable code that a runbook explains, with figures for people."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class Check:
    """One health check: `probe` returns figures for people, or raises. `timeout` in seconds."""

    name: str
    probe: Callable[[], Awaitable[Mapping[str, object]]]
    timeout: float


@runtime_checkable
class Component(Protocol):
    """A part with a life: it starts or raises why not; `stop` may be called twice, or without a start.

    `start_timeout` and `stop_timeout` are seconds; past them the manager gives the step up and goes on.
    """

    name: str
    start_timeout: float
    stop_timeout: float

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def checks(self) -> list[Check]: ...


class BackgroundLoop(ABC):
    """A component whose `run` goes on beside the others until it is stopped."""

    name: str
    start_timeout = 1.0
    stop_timeout = 1.0
    _task: asyncio.Task[None] | None = None

    @abstractmethod
    async def run(self) -> None: ...

    async def start(self) -> None:
        self._task = asyncio.create_task(self.run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("background_loop_ended", loop=self.name, exc_info=task.exception())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def checks(self) -> list[Check]:
        return []
