from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from app.infra.database import Database
from app.infra.settings import Settings
from app.kit.clock import utc_now
from app.schedules import service
from app.schedules.builtin import BUILT_IN, BuiltIn
from app.worker import kinds
from app.worker.line import Line
from app.worker.proof import last_proof

PROBE = BuiltIn("probe", "health.probe", 60)
BACKEND = Path(__file__).parents[2]


@pytest.fixture
async def line(settings: Settings):
    line = Line(settings, "test")
    yield line
    line.close()


@pytest.fixture
def rows(database: Database):
    async def rows(sql: str) -> list[tuple]:
        async with database.transaction() as session:
            result = await session.execute(text(sql))
            return [tuple(row) for row in result] if result.returns_rows else []

    return rows


async def test_a_new_schedule_runs_at_its_next_slot_and_not_at_once(line, rows) -> None:
    await service.put_built_in(line.fetch, [PROBE])
    assert await service.handle_due(line.fetch) == {}
    assert 0 < await service.seconds_to_next(line.fetch) <= 60


async def test_the_table_follows_the_code(line, rows) -> None:
    await service.put_built_in(line.fetch, [PROBE, BuiltIn("old", "health.probe", 30)])
    await rows("UPDATE schedules SET paused_at = now()")
    await service.put_built_in(line.fetch, [BuiltIn("probe", "health.probe", 120)])
    found = await rows("SELECT name, interval_seconds, version, paused_at IS NOT NULL FROM schedules")
    assert found == [("probe", 120, 2, True)]  # what an operator paused stays so
    await service.put_built_in(line.fetch, [BuiltIn("probe", "health.probe", 120)])
    assert (await rows("SELECT version FROM schedules")) == [(2,)]


async def test_a_due_slot_becomes_a_job(line, rows) -> None:
    await service.put_built_in(line.fetch, [PROBE])
    await rows("UPDATE schedules SET next_slot = now() - interval '1 second'")
    assert await service.handle_due(line.fetch) == {"default": 1}
    ((kind, state, same),) = await rows(
        "SELECT kind, state, jobs.slot = schedule_runs.slot FROM jobs JOIN schedule_runs ON job_id = jobs.id"
    )
    assert (kind, state, same) == ("health.probe", "available", True)
    assert await service.handle_due(line.fetch) == {}
    assert (await last_proof(line)).beat < 60


async def test_many_beats_make_one_job_of_a_slot(settings, rows) -> None:
    lines = [Line(settings, "test") for _ in range(4)]
    await service.put_built_in(lines[0].fetch, [PROBE])
    await rows("UPDATE schedules SET next_slot = now() - interval '1 second'")
    tokens = await asyncio.gather(*(service.handle_due(line.fetch) for line in lines))
    assert sum(sum(made.values()) for made in tokens) == 1
    assert await rows("SELECT count(*) FROM jobs") == [(1,)]
    for line in lines:
        line.close()


async def test_while_its_job_still_waits_a_slot_is_skipped_and_says_so(line, rows) -> None:
    await service.put_built_in(line.fetch, [BuiltIn("probe", "health.probe", 1)])
    await rows("UPDATE schedules SET next_slot = date_trunc('second', now()) - interval '5 seconds'")
    await service.handle_due(line.fetch)
    await rows("UPDATE schedules SET next_slot = (SELECT max(slot) + interval '1 second' FROM schedule_runs)")
    while (await service.seconds_to_next(line.fetch)) > 0:
        await asyncio.sleep(0.05)
    await service.handle_due(line.fetch)
    outcomes = Counter(outcome for (outcome,) in await rows("SELECT outcome FROM schedule_runs"))
    assert (outcomes["missed"], outcomes["enqueued"]) == (5, 1)
    assert outcomes["skipped_overlap"] >= 1
    assert await rows("SELECT count(*) FROM jobs") == [(1,)]


async def test_a_paused_schedule_makes_nothing(line, rows) -> None:
    await service.put_built_in(line.fetch, [PROBE])
    await rows("UPDATE schedules SET next_slot = now(), paused_at = now()")
    assert await service.handle_due(line.fetch) == {}
    assert await service.seconds_to_next(line.fetch) is None


def test_what_comes_built_in_has_a_kind_that_needs_no_args() -> None:
    for schedule in BUILT_IN:
        kinds.KINDS[schedule.kind]()


async def test_two_real_beats_handle_each_slot_once_while_a_third_is_frozen(settings: Settings, rows) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(BACKEND),
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "REDIS_KEY_PREFIX": settings.redis_key_prefix,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    beats = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.cli", "beat", env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        for _ in range(3)
    ]
    try:
        while not await rows("SELECT 1 FROM schedules"):
            await asyncio.sleep(0.1)
        beats[0].send_signal(signal.SIGSTOP)
        await rows(
            "UPDATE schedules SET interval_seconds = 1, next_slot = date_trunc('second', now()), overlap = 'allow'"
        )
        began = utc_now()
        while (await rows("SELECT count(DISTINCT slot) FROM schedule_runs WHERE outcome = 'enqueued'"))[0][0] < 4:
            await asyncio.sleep(0.1)
        assert utc_now() - began < timedelta(seconds=60)
        doubles = "SELECT schedule_id, slot FROM jobs GROUP BY 1, 2 HAVING count(*) > 1"
        assert await rows(doubles) == []
        for beat in beats[1:]:
            beat.send_signal(signal.SIGTERM)
            assert await beat.wait() == 0
    finally:
        for beat in beats:
            if beat.returncode is None:
                beat.kill()
                await beat.wait()
