"""What workers and beats tell of themselves in the database."""

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
