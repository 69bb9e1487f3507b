"""From the commit to the message: crashes in between, many senders, unknown kinds, jobs for much later."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

from app.infra.broker import TOKENS_CAP
from app.kit.clock import utc_now
from app.worker import enqueue, kinds, repository
from tests.faults.kinds import WorkArgs
from tests.faults.processes import FAIL_POINT
from tests.faults.product import Api
from tests.faults.trial import Trial, row
from tests.faults.world import World


async def _crash(world: World, trial: Trial, point: str, healthy: Api) -> None:
    """The api dies at this point of a request; the client repeats it, with its key, to another one."""
    dying = await world.api(**{FAIL_POINT: point})
    key = secrets.token_hex(16)
    promised: list[UUID] = []
    with contextlib.suppress(httpx2.TransportError):  # it may have died before it could answer
        promised = await dying.add(key=key)
    await dying.ended()
    repeated = await healthy.add(key=key)
    trial.check(promised in ([], repeated), "the repeat of a request made another job")
    world.promised.update(repeated)
    dying.kill()


async def _crashes(trial: Trial, points: list[str]) -> None:
    async with trial.world() as world:
        world.worker()
        healthy = await world.api()
        for number in range(trial.rounds):
            await _crash(world, trial, points[number % len(points)], healthy)
            trial.progress(number + 1)
        await world.finished(world.promised)
        if points == ["after_commit"]:
            await _roll_back(world, trial, healthy)
        trial.check_all(await world.wrongs())


async def _roll_back(world: World, trial: Trial, api: Api) -> None:
    before = await world.one("SELECT count(*) FROM jobs WHERE kind = 'faults.work'")
    for _ in range(trial.rounds):
        answer = await api.client.post("/faults/jobs", json={"fail": True})
        trial.check(answer.status_code == 409, f"status {answer.status_code}")
    await world.finished(await world.add())
    after = await world.one("SELECT count(*) FROM jobs WHERE kind = 'faults.work'")
    trial.check(after == before + 1, f"{after - before - 1} jobs of requests that were rolled back")


@row(
    "F11",
    "`kill -9` of the api right after COMMIT, the client repeats with its `Idempotency-Key`; and as many rollbacks after enqueue",
    "each job there once and done, the repeat gets the same id; none after a rollback",
    rounds=100,
    unit="crashes and rollbacks",
)
async def crash_after_commit(trial: Trial) -> None:
    await _crashes(trial, ["after_commit"])


@row(
    "F13",
    "the relay's process killed just before and just after it publishes",
    "each job done, one effect each",
    rounds=100,
    unit="crashes",
)
async def crash_around_publish(trial: Trial) -> None:
    await _crashes(trial, ["before_publish", "after_publish"])


@row(
    "F14",
    "four workers with their reconcilers and a relay on a backlog",
    f"each job once; tokens <= {TOKENS_CAP}; 0 deadlocks, no lock wait > 100 ms; claim p99 <= 20 ms; "
    "a slot's pause between two jobs p99 <= 100 ms",
    rounds=10_000,
    unit="jobs",
)
async def many_senders(trial: Trial) -> None:
    claims, depths, waits = trial.measure("a claim beside them", p99=0.02), [0], [0.0]
    async with trial.world(WORKER_CONCURRENCY="1") as world:
        for done in range(0, trial.rounds, 500):
            await world.add(WorkArgs(silent=True), min(500, trial.rounds - done))
        for _ in range(4):
            world.worker()
        over = asyncio.create_task(world.finished(world.promised))
        connection = await asyncpg.connect(world.settings.driver_url)
        while not over.done():
            claims.append(await probe_claim(connection))
            depths.append(await world.redis.llen(f"{world.settings.redis_key_prefix}default"))
            waits.append(await world.one(_LONGEST_LOCK_WAIT) or 0.0)
            await asyncio.sleep(0.1)
        await over
        await connection.close()
        deadlocks = await world.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        pauses = trial.measure("a slot between two jobs", p99=0.1)
        pauses.extend(row["pause"] for row in await world.rows.fetch(_PAUSES))
        trial.check(deadlocks == 0, f"{deadlocks} deadlocks")
        trial.check(max(depths) <= TOKENS_CAP, f"{max(depths)} tokens")
        trial.check(max(waits) <= 0.1, f"a lock was waited for {max(waits):.3f} s")
        trial.note(f"at most {max(depths)} tokens, longest wait for a lock {max(waits) * 1000:.0f} ms")
        trial.check(await world.one("SELECT max(attempt) FROM jobs WHERE kind = 'faults.work'") == 1, "a job ran twice")
        trial.check_all(await world.wrongs())


_PAUSES = """
    SELECT CAST(extract(epoch FROM pause) AS float8) AS pause FROM (
        SELECT started_at - lag(finished_at) OVER (PARTITION BY worker ORDER BY started_at) AS pause
        FROM jobs WHERE kind = 'faults.work') AS all_jobs WHERE pause IS NOT NULL
"""
_LONGEST_LOCK_WAIT = """
    SELECT max(extract(epoch FROM clock_timestamp() - waitstart))::float8 FROM pg_locks WHERE NOT granted
"""


async def probe_claim(connection: asyncpg.Connection[Any]) -> float:
    """Seconds that one more claim takes, rolled back."""
    arguments = repository.CLAIM.arguments(
        {
            "queue": "default",
            "known": kinds.known(),
            "workspace_limit": 4,
            "lease": 30,
            "worker": "probe/0",
        }
    )
    transaction = connection.transaction()
    await transaction.start()
    began = time.perf_counter()
    await connection.fetch(repository.CLAIM.sql, *arguments)
    took = time.perf_counter() - began
    await transaction.rollback()
    return took


@row(
    "F19",
    "jobs due long after a broker with a visibility timeout would have delivered them again (ten minutes)",
    "each started once, late by at most 2 s",
    rounds=50,
    unit="jobs",
)
async def much_later(trial: Trial) -> None:
    late = trial.measure("late", p100=2)
    async with trial.world() as world:
        await world.worker().says(" ready.")
        due = utc_now() + timedelta(seconds=3 if trial.quick else 600)
        jobs = await world.add(WorkArgs(silent=True), trial.rounds, run_at=due)
        await world.finished(jobs)
        late += await world.started_after(due.timestamp(), jobs)
        trial.check(len(late) == len(jobs), f"{len(jobs) - len(late)} started too early")
        trial.check(await world.one("SELECT max(attempt) FROM jobs WHERE kind = 'faults.work'") == 1, "a job ran twice")
        trial.check_all(await world.wrongs())


@row(
    "F22",
    "jobs of a kind that the worker does not know yet",
    "they wait, named in its log, and run once a worker that knows it is up",
    rounds=100,
    unit="jobs",
)
async def unknown_kind(trial: Trial) -> None:
    async with trial.world() as world:
        old = world.shipped_worker()
        jobs = await world.add(count=trial.rounds)
        await old.says('"jobs_parked"')
        states = await world.rows.fetch("SELECT DISTINCT state, attempt FROM jobs WHERE id = ANY ($1)", jobs)
        trial.check([tuple(one) for one in states] == [("available", 0)], f"they did not wait: {states}")
        world.worker()
        await world.finished(jobs)
        trial.check_all(await world.wrongs())


@row(
    "order",
    "a transaction that enqueued first commits last, while thousands of later ids are already done",
    "its jobs are done too",
    rounds=20,
    unit="transactions held open",
)
async def visible_out_of_order(trial: Trial) -> None:
    async with trial.world() as world:
        world.worker()
        held: list[UUID] = []
        for number in range(trial.rounds):
            async with world.transaction() as session:
                held.append((await enqueue(session, WorkArgs())).id)
                await world.finished(await world.add(WorkArgs(silent=True), 10))
            world.promised.update(held)
            trial.progress(number + 1)
        await world.finished(held)
        trial.check_all(await world.wrongs())
