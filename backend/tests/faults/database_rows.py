"""The way to PostgreSQL and Redis: silent, slow, cut; and a transaction that somebody forgot to end."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from tests.faults.enqueue_rows import probe_claim
from tests.faults.kinds import WorkArgs
from tests.faults.trial import Trial, row
from tests.faults.world import now


@row(
    "F21",
    "a transaction left open pins the vacuum while jobs flow",
    "a claim's p99 at the end <= 2x that at the start; our own sessions end such transactions themselves",
    rounds=600,
    unit="seconds, 50 jobs/s",
)
async def forgotten_transaction(trial: Trial) -> None:
    async with trial.world() as world:
        world.worker()
        connection = await asyncpg.connect(world.settings.driver_url)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM jobs")
        probe = await asyncpg.connect(world.settings.driver_url)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < trial.rounds:
            await world.add(WorkArgs(silent=True), 50)
            part = "start" if passed < trial.rounds / 5 else "end" if passed > trial.rounds * 4 / 5 else "middle"
            trial.measure(f"a claim at the {part}").append(await probe_claim(probe))
            await asyncio.sleep(max(0.0, 1 - (time.monotonic() - began - passed)))
        ends = trial.measures["a claim at the end"]
        ends.p99 = 2 * trial.measures["a claim at the start"].at(99)
        await connection.close()
        await probe.close()
        timeout = await world.setting("idle_in_transaction_session_timeout")
        trial.check(timeout == "1min", f"idle_in_transaction_session_timeout is {timeout} in our own sessions")
        await world.finished(world.promised)
        trial.check_all(await world.wrongs())


@row(
    "silent",
    "the worker's connections to PostgreSQL, to Redis, to both are forgotten by a router: open, and no byte passes any more",
    "every job done, no stale write, one effect per key; new jobs start <= 30 s after",
    rounds=6,
    unit="times",
)
async def silent_network(trial: Trial) -> None:
    resumed = trial.measure("silence to next start", p100=30)
    async with trial.world() as world:
        await world.worker().says(" ready.")
        for number in range(trial.rounds):
            running = await world.add(WorkArgs(held=True), 1)
            await world.sink.began(running[0], 1)
            ways = ((world.to_postgres,), (world.to_redis,), (world.to_postgres, world.to_redis))[number % 3]
            for way in ways:
                way.black_hole()
            moment = now()
            jobs = await world.add(count=4)
            world.sink.release()
            await world.finished(jobs)
            resumed.append(min(await world.started_after(moment, jobs)))
            await world.finished(running)
            trial.progress(number + 1)
        trial.check_all(await world.wrongs())


@row(
    "frozen-database",
    "PostgreSQL does not answer for longer than a lease, in the middle of jobs; then it does",
    "every job done, no stale write, one effect per key",
    rounds=3,
    unit="times",
)
async def frozen_database(trial: Trial) -> None:
    async with trial.world() as world:
        worker = world.worker()
        await worker.says(" ready.")
        for number in range(trial.rounds):
            jobs = await world.add(WorkArgs(held=True), 2)
            for job in jobs:
                await world.sink.began(job, 1)
            world.to_postgres.freeze()
            lapsed = "SELECT bool_and(lease_until < now()) FROM jobs WHERE id = ANY ($1)"
            await world.until(lambda: world.one(lapsed, jobs))  # noqa: B023
            world.sink.release()
            world.to_postgres.thaw()
            await world.finished(jobs)  # by the first attempt if it was quicker than the one that rescues
            trial.progress(number + 1)
        trial.check_all(await world.wrongs())
