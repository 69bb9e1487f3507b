"""Workers that die, freeze, stop, or are killed by what they run."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from tests.faults.kinds import PoisonArgs, WorkArgs
from tests.faults.trial import Trial, row
from tests.faults.world import now

BATCH = 10
"""Jobs that a round of a batch has under way at once."""


def batches(total: int, size: int = BATCH) -> list[int]:
    return [min(size, total - begun) for begun in range(0, total, size)]


@row(
    "F1",
    "`kill -9` of a worker's whole process group in the middle of its jobs, at a random point",
    "all done, one effect per key, at most 2 attempts for a kill; restart to done p50 <= 35 s, p100 <= 45 s",
    rounds=100,
    unit="jobs killed",
)
async def worker_killed(trial: Trial) -> None:
    to_done = trial.measure("restart to done", p50=35, p100=45)
    async with trial.world(WORKER_CONCURRENCY=str(min(BATCH, trial.rounds))) as world:
        worker = world.worker()
        killed = 0
        while killed < trial.rounds:
            jobs = await world.add(WorkArgs(seconds=1), min(BATCH, trial.rounds - killed))
            for job in jobs:
                await world.sink.began(job, 1)
            await asyncio.sleep(random.uniform(0, 0.9))  # the point of the kill
            worker.kill()
            moment = now()
            worker.start()
            await world.finished(jobs)
            rows = await world.rows.fetch(
                "SELECT attempt, extract(epoch FROM finished_at) AS done FROM jobs WHERE id = ANY ($1)", jobs
            )
            again = [one for one in rows if one["attempt"] > 1]
            to_done += [float(one["done"]) - moment for one in again]
            trial.check(all(one["attempt"] <= 2 for one in rows), "more than two attempts for one kill")
            killed += len(again)
            trial.progress(killed)
        trial.check_all(await world.wrongs())


@row(
    "F2",
    "`kill -9` of one pool process, as the kernel does for want of memory",
    "its job is done, begun again within 10 s; the job beside it goes on undisturbed",
    rounds=50,
    unit="kills",
)
async def pool_process_killed(trial: Trial) -> None:
    again = trial.measure("kill to next attempt", p100=10)
    # With a long lease, so that what helps here is seen to be the worker's own notice of the death.
    async with trial.world(JOB_LEASE_SECONDS="600", JOB_HEARTBEAT_SECONDS="1") as world:
        world.worker()
        for number in range(trial.rounds):
            one, other = await world.add(WorkArgs(held=True), 2)
            victim, neighbour = await world.sink.began(one, 1), await world.sink.began(other, 1)
            os.kill(victim.pid, signal.SIGKILL)
            moment = now()
            await world.sink.began(one, 2)
            again += await world.started_after(moment, [one])
            world.sink.release()
            await world.finished([one, other])
            ended = await world.rows.fetchrow("SELECT attempt, result->>'pid' AS pid FROM jobs WHERE id = $1", other)
            trial.check(tuple(ended) == (1, str(neighbour.pid)), f"the job beside it was disturbed: {ended}")
            trial.progress(number + 1)
        trial.check_all(await world.wrongs())


@row(
    "F3",
    "a worker frozen for longer than its leases (`-STOP`), its jobs taken over, then thawed (`-CONT`)",
    "nothing that the thawed attempts write counts: the second attempt's result, one effect per key, no stale write",
    rounds=20,
    unit="jobs taken over",
)
async def worker_frozen(trial: Trial) -> None:
    async with trial.world(WORKER_CONCURRENCY=str(min(BATCH, trial.rounds))) as world:
        frozen = world.worker()
        done = 0
        for number, size in enumerate(batches(trial.rounds)):
            jobs = await world.add(WorkArgs(held=True), size)
            for job in jobs:
                await world.sink.began(job, 1)
            frozen.signal(signal.SIGSTOP)
            second = world.worker()
            for job in jobs:
                await world.sink.began(job, 2)
            # The thawed ones go on either while the second attempts still run, or after they have ended.
            world.sink.release(2 if number % 2 else 1)
            if number % 2:
                await world.finished(jobs)
                world.sink.release()
            frozen.signal(signal.SIGCONT)
            await frozen.says('"lease_lost"', size)
            world.sink.release()
            await world.finished(jobs)
            frozen.kill()
            frozen = second
            done += size
            trial.progress(done)
        attempts = await world.rows.fetch("SELECT id, attempt FROM jobs WHERE kind = 'faults.work' AND attempt <> 2")
        trial.check(not attempts, f"not two attempts each: {attempts}")
        trial.check_all(await world.wrongs())


@row(
    "F18",
    "jobs that crash their process, are killed, or never end, among others",
    "quarantined after 3 attempts with the reason, all others done, the worker itself never restarts",
    rounds=500,
    unit="other jobs",
)
async def poison(trial: Trial) -> None:
    async with trial.world() as world:
        worker = world.worker()
        poisons = [(await world.add(PoisonArgs(how=how)))[0] for how in ("segfault", "killed", "endless")]
        world.promised.difference_update(poisons)
        jobs = await world.add(WorkArgs(silent=True), trial.rounds)
        await world.finished([*jobs, *poisons])
        trial.progress(len(jobs))
        rows = await world.rows.fetch(
            "SELECT args->>'how' AS how, state, attempt, errors->-1->>'code' AS code FROM jobs WHERE id = ANY ($1)",
            poisons,
        )
        reasons = {"segfault": "poison", "killed": "poison", "endless": "timeout"}
        for one in rows:
            found = (one["state"], one["attempt"], one["code"])
            trial.check(found == ("discarded", 3, reasons[one["how"]]), f"{one['how']}: {found}")
        trial.check(worker.running, "the worker has ended")
        trial.check_all(await world.wrongs())


_GIVEN_BACK = """
    SELECT extract(epoch FROM started.at - given.at)::float8 FROM faults_history started JOIN faults_history given
        ON given.id = (SELECT max(id) FROM faults_history WHERE job_id = $1 AND id < started.id)
    WHERE started.id = (SELECT max(id) FROM faults_history WHERE job_id = $1 AND state = 'running')
"""


@row(
    "F20",
    "SIGTERM for a worker with a job of 1 s and a long one, every other time without Redis",
    "it ends within 25 s with exit code 0, the short job done, the long one given back without counting the attempt and "
    "begun elsewhere within 5 s",
    rounds=20,
    unit="stops",
)
async def worker_stopped(trial: Trial) -> None:
    ends, elsewhere = trial.measure("signal to end", p100=25), trial.measure("release to next start", p100=5)
    async with trial.world(GRACEFUL_SECONDS="3") as world:
        worker = world.worker()
        for number in range(trial.rounds):
            (short,) = await world.add(WorkArgs(seconds=1))
            (long,) = await world.add(WorkArgs(held=True))
            await world.sink.began(short, 1)
            await world.sink.began(long, 1)
            other = world.worker()
            await other.says(" ready.")
            if number % 2 == 0:
                world.to_redis.cut()
            moment = now()
            worker.terminate()
            trial.check(await worker.ended() == 0, f"exit code other than 0: {worker.log[-1500:]}")
            ends.append(now() - moment)
            trial.check("Error in timer" not in worker.log, f"a duty failed while it stopped: {worker.log[-1500:]}")
            await world.sink.began(long, 1, times=2)
            elsewhere.append(await world.one(_GIVEN_BACK, long))
            world.sink.release()
            await world.finished([short, long])
            rows = await world.rows.fetch("SELECT attempt, deaths FROM jobs WHERE id = ANY ($1)", [short, long])
            trial.check(all(tuple(one) == (1, 0) for one in rows), f"attempts were counted: {rows}")
            world.to_redis.mend()
            worker = other
            trial.progress(number + 1)
        trial.check_all(await world.wrongs())
