"""How late the event loop is: what each request waits for when something keeps the loop busy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.kit.lifecycle import BackgroundLoop

if TYPE_CHECKING:
    from prometheus_client import Histogram

_EVERY = 0.25


class LoopLag(BackgroundLoop):
    """A component: a timer four times a second, and how late it rings."""

    name = "loop_lag"

    def __init__(self, shown: Histogram) -> None:
        self._shown = shown

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY
            await asyncio.sleep(_EVERY)
            self._shown.observe(max(0.0, loop.time() - due))
