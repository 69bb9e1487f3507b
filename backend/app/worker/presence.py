"""What workers and beats tell of themselves in the database, and the probes that read it."""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from app import __version__
from app.worker import repository

if TYPE_CHECKING:
    from app.worker.line import Fetch, Line

REPORT_SECONDS = 5.0
ALIVE_SECONDS = 60.0
"""A process that has not been seen for longer counts as gone."""
PATIENCE_SECONDS = 60.0
"""Work that waits for longer, while a worker or the beats do nothing, means that they are stuck."""


@dataclass(frozen=True, slots=True)
class Presence:
    """One worker or beat. `id` names it for its life."""

    id: str
    role: Literal["worker", "beat"]
    pid: int
    queues: list[str]
    known: list[str]
    slots: int

    async def report(self, line: Line, seconds_since_work: float | None) -> None:
        about = {"host": socket.gethostname(), "version": __version__, "seconds_since_work": seconds_since_work}
        await line.fetch(repository.REPORT, {**asdict(self), **about})


async def leave(line: Line, process_id: str) -> None:
    await line.fetch(repository.LEAVE, {"id": process_id})


async def processes(fetch: Fetch) -> list[dict[str, Any]]:
    """Workers and beats that have not left, `alive` where seen lately, with the slots that are `busy` now."""
    return [dict(row) for row in await fetch(repository.PROCESSES, {"alive": ALIVE_SECONDS})]


async def worker_fault(line: Line) -> str | None:
    """What is wrong with the workers of this host: jobs wait, no slot is busy, and nothing has begun for a minute."""
    params = {"host": socket.gethostname(), "alive": ALIVE_SECONDS, "patience": PATIENCE_SECONDS}
    rows = await line.fetch(repository.STUCK, params)
    if not rows:
        return "no worker of this host has been seen"
    stuck = [row["id"] for row in rows if row["stuck"]]
    return f"jobs wait, and nothing begins: {', '.join(stuck)}" if stuck else None


async def beat_fault(line: Line) -> str | None:
    """What is wrong with the beats: a slot was due a minute ago, and none of them has handled it."""
    lag = (await line.fetch(repository.SCHEDULE_LAG, {}))[0]["seconds"]
    return f"a slot is {lag:.0f} s over its time" if lag is not None and lag > PATIENCE_SECONDS else None
