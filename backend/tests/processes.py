"""Real processes of the product, started as an operator would, awaited by what they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

BACKEND = Path(__file__).resolve().parents[1]


class Process:
    """One process with its log, line by line; `events` are those that are JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def port(self) -> int:
        return int((await self.event("listening"))["port"])

    def send(self, signal: int) -> None:
        self._process.send_signal(signal)

    async def event(self, name: str, **fields: Any) -> dict[str, Any]:
        """Waits for an event of the log with these fields."""
        async with asyncio.timeout(30), self._news:
            while (found := self._find(name, fields)) is None:
                if self._reader.done():
                    raise AssertionError(f"the process ended without {name}: {self.lines}")
                await self._news.wait()
            return found

    async def exit_code(self) -> int:
        async with asyncio.timeout(30):
            await self._reader
            return await self._process.wait()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._reader
        await self._process.wait()

    def _find(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
        wanted = {"event": name, **fields}
        return next((one for one in self.events if wanted.items() <= one.items()), None)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._news:
                self.lines.append(line.decode().rstrip())
                with contextlib.suppress(ValueError):
                    self.events.append(json.loads(line))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


@contextlib.asynccontextmanager
async def running(arguments: list[str], environment: Mapping[str, str]) -> AsyncIterator[Process]:
    """`python -m <arguments>` with nothing of the surroundings' settings; ended at the latest with the block."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        cwd=BACKEND,
        env={**inherited, "PYTHONPATH": str(BACKEND), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    process = Process(started)
    try:
        yield process
    finally:
        await process.kill()
