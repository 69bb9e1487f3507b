"""Proof of work: a probe job that ended shows that workers work, a handled slot that the clock does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from app.worker import repository
from app.worker.kinds import JobArgs, handler
from app.worker.line import Line
from app.worker.running import RunningJob


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
