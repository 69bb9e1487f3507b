"""Everything at once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import httpx2

from tests.faults.product import Api
from tests.faults.trial import Trial, row
from tests.faults.world import World

STORM_SECONDS = 120.0


@row(
    "storm",
    "three workers killed with `-9` at random for two minutes, Redis flushed twice and frozen once, while jobs are asked for",
    "all done, one effect per key, no stale write, the ledger agrees",
    rounds=1000,
    unit="jobs",
)
async def storm(trial: Trial) -> None:
    seconds = STORM_SECONDS * min(1.0, trial.rounds / 1000)
    async with trial.world() as world:
        api = await world.api()
        over = time.monotonic() + seconds
        asking = asyncio.create_task(_ask(api, world, trial, seconds))
        redis = asyncio.create_task(_trouble_redis(world, seconds))
        workers = [world.worker() for _ in range(3)]
        kills = 0
        while time.monotonic() < over:
            await asyncio.sleep(random.uniform(2, 8))  # the point of the kill
            victim = random.choice(workers)
            victim.kill()
            victim.start()
            kills += 1
        await asyncio.gather(asking, redis)
        calm = time.monotonic()
        await world.quiet()
        trial.note(
            f"{kills} kills; attempts lost {await world.one('SELECT sum(deaths) FROM jobs')}; "
            f"the last job done {time.monotonic() - calm:.0f} s after the storm"
        )
        trial.progress(len(world.promised))
        trial.check(len(world.promised) == trial.rounds, f"{len(world.promised)} jobs were acknowledged")
        trial.check_all(await world.wrongs())


async def _ask(api: Api, world: World, trial: Trial, seconds: float) -> None:
    """Asks for the jobs over the first two thirds of the storm."""
    pause = seconds * 2 / 3 / (trial.rounds / 5)
    for _ in range(trial.rounds // 5):
        try:
            world.promised.update(await api.add(5, seconds=random.uniform(0, 1)))
        except httpx2.HTTPError as error:
            trial.fail(f"a request failed: {error}")
        await asyncio.sleep(pause)


async def _trouble_redis(world: World, seconds: float) -> None:
    await asyncio.sleep(seconds / 4)
    await world.redis.flushall()
    await asyncio.sleep(seconds / 4)
    os.kill(world.valkey.pid or 0, signal.SIGSTOP)
    await asyncio.sleep(seconds / 8)
    os.kill(world.valkey.pid or 0, signal.SIGCONT)
    await asyncio.sleep(seconds / 8)
    await world.redis.flushall()
