"""A row of the fault matrix, and one run of it: rounds, what went wrong in them, how long things took."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.load import RATE
from tests.faults.world import World

QUICK = {"JOB_LEASE_SECONDS": "3", "JOB_HEARTBEAT_SECONDS": "0.4", "RECONCILER_INTERVAL": "0.3"}
"""For rounds of seconds, where only what is lost, repeated or stale counts, and not how long it took."""


_SHOWN = 10
"""Failures of a row that are told one by one."""


class NotRunError(Exception):
    """This machine does not have what the row needs."""


@dataclass(frozen=True)
class Row:
    """One fault: how it is tried, and what must be true."""

    name: str
    fault: str
    criterion: str
    rounds: int
    unit: str
    """What a round is."""
    attempt: Callable[[Trial], Awaitable[None]]


@dataclass
class Measure:
    """Seconds that something took, and what they may be at most. Limits are the product's with its default settings."""

    seconds: list[float] = field(default_factory=list)
    p50: float | None = None
    p99: float | None = None
    p100: float | None = None

    def at(self, percent: int) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

    def exceeded(self) -> list[str]:
        limits = {50: self.p50, 99: self.p99, 100: self.p100}
        return [
            f"p{percent} {self.at(percent):.3f} s is over {limit:g} s"
            for percent, limit in limits.items()
            if limit is not None and self.seconds and self.at(percent) > limit
        ]


class Trial:
    """One run of one row. `quick` shortens leases and pauses; then nothing is measured against a limit."""

    def __init__(
        self,
        row: Row,
        admin_url: str,
        rounds: int | None,
        say: Callable[[str], None],
        *,
        quick: bool,
        rate: int = RATE,
    ) -> None:
        self.row = row
        self.rounds = rounds or row.rounds
        self.quick = quick
        self.rate = 5 if quick else rate
        """Requests a second of rows under load."""
        self.failures: list[str] = []
        self.measures: dict[str, Measure] = {}
        self.notes: list[str] = []
        self.not_run: str | None = None
        """What this machine lacks; then nothing was tried."""
        self.seconds = 0.0
        self.load = os.getloadavg()[0]
        """What the machine was busy with already: processes that wanted a CPU, over the minute before."""
        self._admin_url = admin_url
        self._say = say

    async def run(self) -> None:
        began = time.monotonic()
        try:
            await self.row.attempt(self)
        except NotRunError as error:
            self.not_run = str(error)
        except Exception as error:  # noqa: BLE001  a row that breaks off has failed; the others are still tried
            self.fail(f"broken off: {type(error).__name__}: {error}")
        self.seconds = time.monotonic() - began

    @asynccontextmanager
    async def world(self, postgres: str | None = None, **settings: str) -> AsyncIterator[World]:
        """`postgres`: a server of the row's own, as its superuser; else all rows share one, each with its own database."""
        with tempfile.TemporaryDirectory(prefix="taskapi-faults-") as directory:
            chosen = (QUICK if self.quick else {}) | settings
            async with World(Path(directory), postgres or self._admin_url, chosen) as world:
                before = len(self.failures)
                try:
                    yield world
                except BaseException:
                    self._show_logs(world)
                    raise
                if len(self.failures) > before:
                    self._show_logs(world)

    def _show_logs(self, world: World) -> None:
        for process in world.processes:
            telling = [line for line in process.log.splitlines() if '"level":"info"' not in line]
            telling.sort(key=lambda line: '"level":"error"' in line)
            self._say("\n".join([f"--- {process.name}", *(f"{line[:300]} ... {line[-900:]}" for line in telling[-5:])]))

    def progress(self, done: int, of: int | None = None) -> None:
        self._say(f"{self.row.name}: {done}/{of or self.rounds} {self.row.unit}, {len(self.failures)} failed")

    def fail(self, what: str) -> None:
        self.failures.append(what)
        if len(self.failures) <= _SHOWN:
            self._say(f"{self.row.name}: FAILED {what[:1500]}")

    def check(self, fine: bool, what: str) -> None:
        if not fine:
            self.fail(what)

    def check_all(self, wrongs: Iterable[str]) -> None:
        for wrong in wrongs:
            self.fail(wrong)

    def measure(
        self, name: str, *, p50: float | None = None, p99: float | None = None, p100: float | None = None
    ) -> list[float]:
        """Where to put the seconds that `name` took."""
        return self.measures.setdefault(name, Measure(p50=p50, p99=p99, p100=p100)).seconds

    def note(self, text: str) -> None:
        """For the report, beside the figures."""
        self.notes.append(text)

    @property
    def exceeded(self) -> list[str]:
        return [f"{name}: {one}" for name, measure in self.measures.items() for one in measure.exceeded()]


ROWS: dict[str, Row] = {}


def row(
    name: str, fault: str, criterion: str, *, rounds: int, unit: str
) -> Callable[[Callable[[Trial], Awaitable[None]]], Callable[[Trial], Awaitable[None]]]:
    def register(attempt: Callable[[Trial], Awaitable[None]]) -> Callable[[Trial], Awaitable[None]]:
        ROWS[name] = Row(name, fault, criterion, rounds, unit, attempt)
        return attempt

    return register
