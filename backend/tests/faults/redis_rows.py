"""Redis flushed, killed, stopped, frozen, full, lied to."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import sys
from typing import Any
from uuid import UUID

from app.infra.broker import TOKENS_CAP
from app.infra.redis import QUEUE_POLICY
from tests.faults.load import Load
from tests.faults.product import Api
from tests.faults.trial import Trial, row
from tests.faults.world import World, now

SHOWN = ("state", "attempt", "result", "errors", "progress", "run_at", "created_at")


async def _shown(api: Api, jobs: list[UUID]) -> list[Any]:
    answers = [(await api.client.get(f"/jobs/{job}")).raise_for_status().json() for job in jobs]
    return [[answer[name] for name in SHOWN] for answer in answers]


async def _forgotten(trial: Trial, *, killed: bool) -> None:
    delay = trial.measure("return to first start", p100=15)
    async with trial.world() as world:
        api = await world.api()
        jobs: list[UUID] = []
        while len(jobs) < trial.rounds:
            jobs += await api.add(min(100, trial.rounds - len(jobs)), silent=True)
        world.promised.update(jobs)
        sample = random.sample(jobs, min(20, len(jobs)))
        await world.until(lambda: world.redis.llen(f"{world.settings.redis_key_prefix}default"))
        before = await _shown(api, sample)
        if killed:
            _kill_valkey(world)
            trial.check(await _shown(api, sample) == before, "a status changed while Redis was down")
            world.valkey.start()
        else:
            await world.redis.flushall()
        trial.check(await _shown(api, sample) == before, "a status changed with the loss of Redis")
        worker = world.worker()
        await worker.says(" ready.")
        moment = now()
        await world.finished(jobs)
        delay.append(min(await world.started_after(moment - 60)) - 60)
        trial.check({one[0] for one in await _shown(api, sample)} == {"completed"}, "a status is wrong at the end")
        trial.progress(len(jobs))
        trial.check(await world.one("SELECT max(attempt) FROM jobs WHERE kind = 'faults.work'") == 1, "a job ran twice")
        trial.check_all(await world.wrongs())


def _kill_valkey(world: World) -> None:
    os.kill(world.valkey.pid or 0, signal.SIGKILL)
    world.valkey.stop(5)


@row(
    "F4",
    "`FLUSHALL` while jobs wait",
    "all done, each once; the status of each is the same before and after; first start <= 15 s after workers are up",
    rounds=1000,
    unit="jobs",
)
async def flushed(trial: Trial) -> None:
    await _forgotten(trial, killed=False)


@row(
    "F5",
    "Redis without a file is killed with `-9` while jobs wait, and comes back empty",
    "as F4",
    rounds=1000,
    unit="jobs",
)
async def forgotten(trial: Trial) -> None:
    await _forgotten(trial, killed=True)


async def _outage(trial: Trial, *, frozen: bool) -> None:
    after = trial.measure("return to start of what waited", p100=15)
    async with trial.world() as world:
        apis = [await world.api(), await world.api()]
        world.worker()
        load = Load(world, [api.client for api in apis], trial.rate)
        length = min(trial.rounds, 15)
        before = await load.run(length)
        if frozen:
            os.kill(world.valkey.pid or 0, signal.SIGSTOP)
        else:
            _kill_valkey(world)
        during = asyncio.create_task(load.run(trial.rounds))
        degraded = await _degraded(apis[0], during)
        burst = await during
        if frozen:
            os.kill(world.valkey.pid or 0, signal.SIGCONT)
        else:
            world.valkey.start()
        back = now()
        waiting = await world.rows.fetch("SELECT id FROM jobs WHERE kind = 'faults.work' AND started_at IS NULL")
        later = await load.run(length)
        await world.finished(load.jobs)
        after += [max(0.0, one) for one in await world.started_after(back, [one["id"] for one in waiting])]
        for name, part in (("before", before), ("during", burst), ("after", later)):
            trial.check_all(f"{name}: {one}" for one in part.failures)
            trial.measure(f"requests {name}").extend(part.seconds)
        base = trial.measures["requests before"].at(99) if before.seconds else 0
        trial.measures["requests during"].p99 = round(min(2 * base, base + 0.05), 3)
        trial.check(degraded == {200}, f"probes meanwhile: {degraded}")
        trial.note(
            f"{load.rate} requests/s for {trial.rounds} s over two apis, {len(load.jobs)} jobs, {len(waiting)} waited"
        )
        trial.progress(trial.rounds)
        trial.check_all([*await load.wrong_tasks(), *await world.wrongs()])


async def _degraded(api: Api, during: asyncio.Task[Any]) -> set[int]:
    """What the probes answer meanwhile; waits until ready says that Redis is missing."""
    seen = set()
    said = ""
    while not during.done():
        for path in ("/health/live", "/health/ready"):
            answer = await api.client.get(path)
            seen.add(answer.status_code)
        said = answer.text if "degraded" in answer.text else said
        await asyncio.sleep(0.2)
    return seen if "degraded" in said else seen | {0}


@row(
    "F6",
    "Redis stopped under load",
    "0 failed requests, p99 <= 2x and + 50 ms of before; live and ready 200, ready says degraded; what waited starts "
    "<= 15 s after the return",
    rounds=60,
    unit="seconds without Redis",
)
async def stopped_under_load(trial: Trial) -> None:
    await _outage(trial, frozen=False)


@row(
    "F7",
    "Redis frozen (`-STOP`) under load",
    "as F6",
    rounds=60,
    unit="seconds of a frozen Redis",
)
async def frozen_under_load(trial: Trial) -> None:
    await _outage(trial, frozen=True)


@row(
    "F9",
    "Redis killed and started again while jobs flow",
    "what is asked for meanwhile starts <= 10 s later, none lost; as many connections after as before",
    rounds=20,
    unit="restarts",
)
async def restarted(trial: Trial) -> None:
    starts = trial.measure("asked for to started", p100=10)
    async with trial.world() as world:
        await world.worker().says(" ready.")
        await world.finished(await world.add(count=4))
        before = await _connections(world)
        for number in range(trial.rounds):
            _kill_valkey(world)
            moment = now()
            jobs = await world.add(count=3)
            await asyncio.sleep(0 if trial.quick else random.uniform(1, 5))  # how long it is gone
            world.valkey.start()
            await world.finished(jobs)
            starts += await world.started_after(moment, jobs)
            trial.progress(number + 1)
        await world.finished(await world.add(count=4))
        after = await _connections(world)
        trial.check(after <= before + 1, f"{before} connections before, {after} after")
        trial.check_all(await world.wrongs())


async def _connections(world: World) -> int:
    await world.redis.connection_pool.disconnect()  # those of an earlier life of the server
    return int((await world.redis.info("clients"))["connected_clients"])


@row(
    "F10",
    "Redis full: `maxmemory` reached with `noeviction`, then with `allkeys-lru`",
    "0 failed requests; every job done while it is full, never more at once than there are slots; the evicting policy is "
    "named by `doctor`, in the log of the api and in `/health/ready`",
    rounds=200,
    unit="jobs for each policy",
)
async def full(trial: Trial) -> None:
    async with trial.world() as world:
        api = await world.api()
        worker = world.worker()
        await worker.says(" ready.")
        for policy in (QUEUE_POLICY, "allkeys-lru"):
            await world.redis.config_set("maxmemory-policy", policy)
            await world.redis.set("ballast", secrets.token_bytes(1_000_000))
            await world.redis.config_set("maxmemory", int((await world.redis.info("memory"))["used_memory"]) // 2)
            moment = now()
            jobs: list[UUID] = []
            while len(jobs) < trial.rounds:
                jobs += await api.add(min(10, trial.rounds - len(jobs)), silent=True, seconds=0.05)
            world.promised.update(jobs)
            await world.finished(jobs)
            trial.note(f"{policy}: all done {now() - moment:.1f} s after the first request, Redis still full")
            await _named(trial, world, api, policy)
            await world.redis.config_set("maxmemory", 0)
            await world.redis.delete("ballast")
        most = await world.one(_MOST_AT_ONCE)
        trial.check(most == world.settings.worker_concurrency, f"{most} jobs ran at once")
        trial.check(worker.running, "the worker has ended")
        trial.check_all(await world.wrongs())


_MOST_AT_ONCE = """
    SELECT max(running) FROM (
        SELECT sum((h.state = 'running')::int - (h.before = 'running')::int) OVER (ORDER BY h.at, h.id) AS running
        FROM faults_history AS h JOIN jobs ON jobs.id = h.job_id
        WHERE jobs.kind = 'faults.work' AND h.before IS NOT NULL) AS counted
"""


async def _named(trial: Trial, world: World, api: Api, policy: str) -> None:
    """Is a policy that deletes messages told of, and no other?"""
    wanted = "healthy" if policy == QUEUE_POLICY else "degraded"

    async def told() -> bool:
        return (await api.client.get("/health/ready")).json()["checks"]["redis_policy"] == wanted

    await world.until(told)
    if policy == QUEUE_POLICY:
        return
    await api.says(policy)
    doctor = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "app.cli", "doctor",
        env=world.environment, cwd=world.directory, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await doctor.communicate()
    trial.check(doctor.returncode != 0 and policy in said.decode(), f"doctor: {doctor.returncode} {said.decode()}")


@row(
    "messages",
    "tokens forged, garbled, repeated by the thousand, of other queues and out of order, by somebody who can write to Redis",
    "each job is done once, no worker process dies",
    rounds=200,
    unit="jobs",
)
async def messages(trial: Trial) -> None:
    async with trial.world() as world:
        worker = world.worker()
        await worker.says(" ready.")
        key = f"{world.settings.redis_key_prefix}default"
        garbage = [
            b"\xff\x00 not json", "[1, 2]", "null", "{}", "[" * 5000, '{"body": 7, "headers": {"task": "os.system"}}',
            '{"headers": {"task": "run_next", "id": "x", "timelimit": [0.01, 0.01], "eta": "2999-01-01T00:00:00Z"}, "body": "W10="}',
        ]  # fmt: skip
        jobs = []
        for _ in range(max(1, trial.rounds // 20)):
            jobs += await world.add(count=min(20, trial.rounds))
            tokens = await world.redis.lrange(key, 0, 19)
            forged = [*garbage, *tokens, *reversed(tokens)] * 5
            random.shuffle(forged)
            await world.redis.lpush(key, *forged)
        await world.redis.lpush(key, *[b"{}"] * TOKENS_CAP)
        await world.redis.set(f"{world.settings.redis_key_prefix}urgent", "not a list")
        await world.finished([*jobs, *await world.add()])
        trial.check(worker.running, "the worker has ended")
        trial.check(await world.one("SELECT max(attempt) FROM jobs WHERE kind = 'faults.work'") == 1, "a job ran twice")
        trial.check("WorkerLostError" not in worker.log, "a pool process died")
        trial.check_all(await world.wrongs())
