"""Kinds whose every step can be seen from outside; the workers of the fault rows know them beside the product's own."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
from typing import Any, Literal

from sqlalchemy import text

from app.worker import JobArgs, RunningJob, handler

SINK_PORT = "FAULTS_SINK_PORT"


async def tell(job: RunningJob, what: str, *, held: bool = False) -> None:
    """A call to the world outside, with the job's key; returns when it is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[SINK_PORT]))
    try:
        call = {"key": job.idempotency_key, "attempt": job.attempt, "pid": os.getpid(), "what": what, "held": held}
        writer.write(json.dumps(call).encode() + b"\n")
        await reader.readline()
    finally:
        writer.transport.abort()


class WorkArgs(JobArgs, kind="faults.work", grace=1, timeout=900):
    seconds: float = 0
    held: bool = False
    """Whether it waits, once begun, until the sink lets it go on."""
    silent: bool = False
    """Whether it does without the calls outside: for rows that are about throughput."""


@handler(WorkArgs)
async def work(job: RunningJob, args: WorkArgs) -> dict[str, Any]:
    """Begins, works, has its effect outside, then the one in the database."""
    if not args.silent:
        await tell(job, "begin", held=args.held)
    await asyncio.sleep(args.seconds)
    if not args.silent:
        await tell(job, "effect")
    async with job.transaction() as session:
        if await job.effect(session, "work"):
            await session.execute(
                text("INSERT INTO faults_effects (job_id, attempt) VALUES (:id, :attempt)"),
                {"id": job.id, "attempt": job.attempt},
            )
    return {"attempt": job.attempt, "pid": os.getpid()}


class SlotArgs(JobArgs, kind="faults.slot", queue="urgent"):
    """What the schedule of the rows about beats runs."""


@handler(SlotArgs)
async def slot(_: RunningJob, __: SlotArgs) -> None:
    return


class PoisonArgs(JobArgs, kind="faults.poison", max_attempts=3, timeout=2, grace=0.5, backoff=0.1):
    how: Literal["segfault", "killed", "endless"]


@handler(PoisonArgs)
def poison(_: RunningJob, args: PoisonArgs) -> None:
    """Takes its process with it, as a broken library does, or the kernel for want of memory; or does not end."""
    if args.how == "segfault":
        ctypes.string_at(0)
    if args.how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        sum(range(1000))
