"""Several beats, of which one freezes and dies."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise

from tests.faults.kinds import WorkArgs
from tests.faults.processes import CLOCK_SHIFT
from tests.faults.trial import Trial, row
from tests.faults.world import World, now

_SLOTS = """
    SELECT extract(epoch FROM slot)::float8 AS slot, outcome, extract(epoch FROM r.created_at - slot)::float8 AS late,
        (SELECT count(*) FROM jobs j WHERE j.schedule_id = r.schedule_id AND j.slot = r.slot) AS jobs
    FROM schedule_runs r JOIN schedules s ON s.id = schedule_id WHERE s.name = 'faults-slot' ORDER BY slot
"""


async def _written(world: World, slots: int) -> None:
    """Waits until so many more slots have been handled."""
    count = "SELECT count(*) FROM schedule_runs JOIN schedules s ON s.id = schedule_id WHERE s.name = 'faults-slot'"
    aim = await world.one(count) + slots
    await world.until(lambda: world.one(f"SELECT ({count}) >= $1", aim))


async def _judge(trial: Trial, world: World, gone: float, back: float) -> None:
    """Between `gone` and `back` there was no beat: what was due then is missed or late, and is told."""
    rows = await world.rows.fetch(_SLOTS)
    late = trial.measure("slot to its row", p100=10)
    late.extend(max(0.0, one["late"]) for one in rows if not gone <= one["slot"] <= back)
    holes = [(one["slot"], two["slot"]) for one, two in pairwise(rows) if two["slot"] - one["slot"] != 1]
    trial.check(not holes, f"slots without a row: {holes[:5]}")
    wrong = [tuple(one) for one in rows if one["jobs"] != (one["outcome"] == "enqueued")]
    trial.check(not wrong, f"jobs that do not fit their slot: {wrong[:5]}")
    outcomes = [one["outcome"] for one in rows]
    trial.note(", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in sorted(set(outcomes))))


@row(
    "F16",
    "two beats on a schedule of every second; one is frozen, thawed, killed; then both are gone for a while",
    "each slot has one row and one job, or its outcome says why not; no slot is handled more than 10 s late while a beat runs",
    rounds=600,
    unit="slots",
)
async def beats(trial: Trial) -> None:
    async with trial.world() as world:
        world.worker()
        one, other = world.beat(), world.beat()
        part = max(1, trial.rounds // 6)
        await _written(world, part)
        one.signal(signal.SIGSTOP)
        await _written(world, part)
        one.signal(signal.SIGCONT)
        await _written(world, part)
        one.kill()
        await _written(world, part)
        trial.progress(4 * part)
        other.signal(signal.SIGSTOP)
        gone = now()
        one.start()
        await _written(world, 1)
        back = now()
        await _written(world, part)
        other.kill()
        await _written(world, part)
        trial.progress(trial.rounds)
        await _judge(trial, world, gone, back)


@row(
    "clocks",
    "a worker and a beat whose clocks are an hour ahead, and others an hour behind",
    "the database's clock decides: every job done once, leases hold, each slot handled once and on time",
    rounds=20,
    unit="jobs with each clock",
)
async def clocks(trial: Trial) -> None:
    async with trial.world() as world:
        for shift in ("3600", "-3600"):
            worker, beat = world.worker(**{CLOCK_SHIFT: shift}), world.beat(**{CLOCK_SHIFT: shift})
            await world.finished(await world.add(WorkArgs(seconds=0.1), trial.rounds))
            try:
                async with asyncio.timeout(30):
                    await _written(world, 5)
            except TimeoutError:
                trial.fail(f"no slot is handled by a beat whose clock is {shift} s off")
            for process in (worker, beat):
                process.kill()
            # What the next one finds is a schedule that nobody has put there yet.
            await world.rows.execute("DELETE FROM schedules WHERE name = 'faults-slot'")
            trial.progress(trial.rounds)
        trial.check(await world.one("SELECT max(attempt) FROM jobs WHERE kind = 'faults.work'") == 1, "a job ran twice")
        trial.check_all(await world.wrongs())
