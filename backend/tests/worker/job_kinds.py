"""Kinds for the tests of the machinery; real workers of these tests import this module too."""

from __future__ import annotations

import asyncio
import math
import os
import time
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import text

from app.worker import JobArgs, Permanent, Retry, RunningJob, handler


class EchoArgs(JobArgs, kind="test.echo", version=2, max_attempts=3):
    text: str = ""

    @classmethod
    def upgrade(cls, version: int, stored: str) -> str:
        return stored.replace('"words"', '"text"')


@handler(EchoArgs)
async def echo(job: RunningJob, args: EchoArgs) -> dict[str, Any]:
    return {"text": args.text, "attempt": job.attempt}


class FailArgs(JobArgs, kind="test.fail", max_attempts=3, backoff=60):
    how: str


@handler(FailArgs)
async def fail(_: RunningJob, args: FailArgs) -> None:
    if args.how == "permanent":
        raise Permanent("no_such_thing", "There is none", result={"tasks": 0})
    if args.how == "not tried":
        raise Retry(after=60, counted=False)
    if args.how == "retry":
        raise Retry(after=1800, code="busy")
    raise RuntimeError("postgresql://user:hunter2@db/secret")


class OddArgs(JobArgs, kind="test.odd", max_attempts=2):
    how: str


ODD_RESULTS: dict[str, Any] = {
    "a NUL": {"text": "a\x00b"},
    "half a character": {"text": "\ud800"},
    "no number": {"mean": math.nan},
    "no JSON": {"object": object()},
}
ODD_ERRORS: dict[str, BaseException] = {
    "told by garbage": Retry(code="busy", message="a\x00b\ud800"),
    "told to wait for ever": Retry(code="busy", after=math.inf),
    "told to wait for millions of years": Retry(code="busy", after=timedelta.max),
    "something it waited for was cancelled": asyncio.CancelledError(),
}


@handler(OddArgs)
async def odd(_: RunningJob, args: OddArgs) -> Any:
    if args.how in ODD_ERRORS:
        raise ODD_ERRORS[args.how]
    return ODD_RESULTS[args.how]


class NextArgs(JobArgs, kind="test.next"):
    """Takes the next of nothing."""


@handler(NextArgs)
def take_next(_: RunningJob, __: NextArgs) -> None:
    next(iter(()))


class BigArgs(JobArgs, kind="test.big"):
    size: int


@handler(BigArgs)
async def big(_: RunningJob, args: BigArgs) -> dict[str, Any]:
    return {"text": "x" * args.size}


class GateArgs(JobArgs, kind="test.gate", queue="slow", timeout=60, grace=1):
    """Says in Redis that it runs, and ends when it is let through: an event on both sides, no waiting for seconds."""


@handler(GateArgs)
async def gate(job: RunningJob, _: GateArgs) -> dict[str, Any]:
    prefix = job.settings.redis_key_prefix
    async with Redis.from_url(str(job.settings.redis_url)) as redis:
        await redis.rpush(f"{prefix}started", f"{job.id} {job.attempt} {os.getpid()}")
        while await redis.lpop(f"{prefix}gate") is None:
            await asyncio.sleep(0.02)
        async with job.transaction() as session:
            first = await job.effect(session, "through")
        return {"pid": os.getpid(), "first": first}


class PlainArgs(JobArgs, kind="test.plain", timeout=1, grace=0.2, max_attempts=1):
    seconds: float


@handler(PlainArgs)
def plain(job: RunningJob, args: PlainArgs) -> dict[str, Any]:
    until = time.monotonic() + args.seconds
    while time.monotonic() < until:
        sum(range(1000))
    return {"attempt": job.attempt}


class LostArgs(JobArgs, kind="test.lost"):
    """Another worker has it before its handler returns."""


@handler(LostArgs)
async def lost(job: RunningJob, _: LostArgs) -> None:
    async with job.database.transaction() as session:
        taken = "UPDATE jobs SET lease_token = gen_random_uuid(), worker = 'other' WHERE id = :id"
        await session.execute(text(taken), {"id": job.id})


class BulkArgs(JobArgs, kind="test.bulk", parent=True):
    """Its children do the work."""


class PartArgs(JobArgs, kind="test.part", max_attempts=1):
    fails: bool = False


@handler(PartArgs)
async def part(_: RunningJob, args: PartArgs) -> None:
    if args.fails:
        raise Permanent("no_such_thing")
