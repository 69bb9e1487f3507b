"""How late the event loop is: what each request waits for when something keeps the loop busy."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Histogram

    from app.kit.lifecycle import Check

_EVERY = 0.25


class LoopLag:
    """A component: a timer four times a second, and how late it rings."""

    name = "loop_lag"
    start_timeout = 1.0
    stop_timeout = 1.0

    def __init__(self, shown: Histogram) -> None:
        self._shown = shown
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def checks(self) -> list[Check]:
        return []

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY
            await asyncio.sleep(_EVERY)
            self._shown.observe(max(0.0, loop.time() - due))
