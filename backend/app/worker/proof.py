"""Proof of work: a probe job that ended shows that workers work, a handled slot that the clock does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.infra.database import Database
from app.worker import repository
from app.worker.enqueuing import enqueue
from app.worker.kinds import JobArgs, handler
from app.worker.line import Line
from app.worker.running import RunningJob

PROBE_SECONDS = 15
"""How often the schedule that comes with the product asks for a probe; operators may change it there."""


class ProbeArgs(JobArgs, kind="health.probe", priority=0, max_attempts=1, timeout=10, retention=timedelta(hours=1)):
    """Does nothing: that it ended is the news."""


@handler(ProbeArgs)
async def probe(_: RunningJob, __: ProbeArgs) -> None:
    return


@dataclass(frozen=True, slots=True)
class Proof:
    """Seconds since a worker last ended a probe, and since a beat last handled a slot; None: not as far as is kept."""

    workers: float | None
    beat: float | None


async def last_proof(line: Line) -> Proof:
    row = (await line.fetch(repository.LAST_PROOF, {}))[0]
    return Proof(row["workers"], row["beat"])


_POLL_SECONDS = 0.5


async def _within(seconds: float, proven: Callable[[], Awaitable[bool]]) -> bool:
    until = time.monotonic() + seconds
    while not await proven():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def prove_queues(database: Database, queues: Sequence[str], within: float) -> bool:
    """Puts a probe into each of these queues and says whether all have ended within so many seconds.

    A paused queue is left out.
    """
    paused = {row["queue"] for row in await database.fetch(repository.PAUSED, {})}
    async with database.transaction() as session:
        ids = [(await enqueue(session, ProbeArgs(), queue=queue)).id for queue in queues if queue not in paused]

    async def ended() -> bool:
        return not await database.fetch(repository.NOT_COMPLETED, {"ids": ids})

    return await _within(within, ended)


async def prove_beat(line: Line, within: float) -> bool:
    """Whether a beat handles a slot from now on within so many seconds; the probe's is due every PROBE_SECONDS."""
    await last_proof(line)  # connects, which takes its time
    began = time.monotonic()

    async def handled() -> bool:
        since = time.monotonic() - began
        age = (await last_proof(line)).beat
        return age is not None and age < since

    return await _within(within, handled)
