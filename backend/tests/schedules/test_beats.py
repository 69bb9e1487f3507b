"""Any number of beats, and every slot once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from app.core.beat import DatabaseScheduler
from app.core.celery_app import TaskApi
from app.core.job_modules import KIND_MODULES, load
from app.infra.settings import Settings
from app.schedules import clock
from app.schedules.builtin import BUILT_IN, BuiltIn
from app.worker import kinds
from app.worker.line import Line
from app.worker.proof import last_proof
from app.worker.testing import run_jobs_until_idle

HOURLY = BuiltIn("probe", "health.probe", 3600)
BACKEND = Path(__file__).parents[2]


async def test_a_new_schedule_runs_at_its_next_slot_and_not_at_once(line, rows) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    assert await clock.tick(line.fetch) == {}
    assert 0 < await clock.seconds_to_next(line.fetch) <= 3600
    assert await rows("SELECT 1 FROM schedule_runs") == []


async def test_the_table_follows_the_code(line, rows) -> None:
    old = BuiltIn("old", "health.probe", 30)
    await clock.put_built_in(line.fetch, [HOURLY, old])
    await rows("UPDATE schedules SET paused_at = now()")
    nightly = BuiltIn("probe", "health.probe", cron="0 3 * * *", time_zone="Europe/Berlin", overlap="allow")
    await clock.put_built_in(line.fetch, [nightly])
    found = await rows("SELECT name, interval_seconds, cron, time_zone, overlap, paused_at IS NOT NULL FROM schedules")
    assert found == [("probe", None, "0 3 * * *", "Europe/Berlin", "allow", True)]  # paused by an operator: stays so
    before = await rows("SELECT version, next_slot FROM schedules")
    await clock.put_built_in(line.fetch, [nightly])
    assert await rows("SELECT version, next_slot FROM schedules") == before


async def test_what_an_operator_has_given_other_times_keeps_them(line, rows) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await rows("UPDATE schedules SET interval_seconds = 60, retimed = true")
    await clock.put_built_in(line.fetch, [replace(HOURLY, interval_seconds=7200, misfire="skip")])
    assert await rows("SELECT interval_seconds, misfire FROM schedules") == [(60, "skip")]


async def test_a_due_slot_becomes_a_job(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await put_back()
    assert await clock.tick(line.fetch) == {"default": 1}
    ((kind, state, same),) = await rows(
        "SELECT kind, state, jobs.slot = schedule_runs.slot FROM jobs JOIN schedule_runs ON job_id = jobs.id"
    )
    assert (kind, state, same) == ("health.probe", "available", True)
    assert await clock.tick(line.fetch) == {}
    assert (await last_proof(line)).beat < 60


async def test_many_beats_make_one_job_of_each_slot_of_many_schedules(settings, rows, put_back) -> None:
    lines = [Line(settings, "test") for _ in range(4)]
    await clock.put_built_in(lines[0].fetch, [replace(HOURLY, name=f"probe-{number}") for number in range(20)])
    await put_back(2)
    handled: Counter[str] = Counter()

    def count(outcome: str, slots: int) -> None:
        handled[outcome] += slots

    tokens = await asyncio.gather(*(clock.tick(line.fetch, count) for line in lines))
    assert sum(made.get("default", 0) for made in tokens) == 20
    assert handled == {"enqueued": 20, "missed": 40}
    assert await rows("SELECT count(*), count(DISTINCT (schedule_id, slot)) FROM jobs") == [(20, 20)]
    assert await rows("SELECT outcome, count(*) FROM schedule_runs GROUP BY 1 ORDER BY 1") == [
        ("enqueued", 20),
        ("missed", 40),
    ]
    for line in lines:
        line.close()


async def test_a_beat_that_was_frozen_after_it_looked_changes_nothing(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await put_back()
    looked = await line.fetch(clock.repository.DUE, {"kinds": ["health.probe"]})
    assert await clock.tick(line.fetch) == {"default": 1}
    assert await clock.settle(line.fetch, looked[0]) == {}
    assert await rows("SELECT count(*) FROM jobs") == [(1,)]


async def test_a_slot_that_comes_again_because_the_clock_was_put_back_makes_no_second_job(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [replace(HOURLY, overlap="allow")])
    for _ in range(2):
        await put_back()
        await clock.tick(line.fetch)
    assert await rows("SELECT count(*) FROM jobs") == [(1,)]


async def test_a_schedule_that_was_changed_since_a_beat_looked_is_left_to_the_next_look(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await put_back()
    looked = await line.fetch(clock.repository.DUE, {"kinds": ["health.probe"]})
    await rows("UPDATE schedules SET paused_at = now(), version = version + 1")
    assert await clock.settle(line.fetch, looked[0]) == {}
    assert await rows("SELECT 1 FROM schedule_runs") == []


async def test_while_its_job_still_waits_a_slot_is_skipped_and_says_so(line, rows, put_back, outcomes) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await put_back(1)
    await clock.tick(line.fetch)
    await rows("UPDATE schedule_runs SET slot = slot - interval '1 day'")
    await put_back()
    await clock.tick(line.fetch)
    assert await outcomes() == ["missed", "enqueued", "skipped_overlap"]
    assert await rows("SELECT count(*) FROM jobs") == [(1,)]


async def test_queued_slots_run_one_after_the_other(line, rows, settings, put_back, outcomes) -> None:
    await clock.put_built_in(line.fetch, [replace(HOURLY, misfire="catch_up", overlap="queue")])
    await put_back(2)
    assert await clock.tick(line.fetch) == {"default": 1}
    assert await outcomes() == ["enqueued", "queued", "queued"]
    for left in (["enqueued", "enqueued", "queued"], ["enqueued", "enqueued", "enqueued"]):
        assert await clock.tick(line.fetch) == {}  # its turn comes when the job before has ended
        assert await run_jobs_until_idle(settings) == 1
        assert await clock.tick(line.fetch) == {"default": 1}
        assert await outcomes() == left
    assert await rows("SELECT count(*), count(DISTINCT slot) FROM jobs") == [(3, 3)]


async def test_many_beats_start_one_queued_slot(settings, rows, put_back) -> None:
    lines = [Line(settings, "test") for _ in range(4)]
    await clock.put_built_in(lines[0].fetch, [replace(HOURLY, misfire="catch_up", overlap="queue")])
    await put_back(3)
    await clock.tick(lines[0].fetch)
    await run_jobs_until_idle(settings)
    tokens = await asyncio.gather(*(clock.tick(line.fetch) for line in lines))
    assert sum(made.get("default", 0) for made in tokens) == 1
    assert await rows("SELECT count(*) FROM jobs WHERE state = 'available'") == [(1,)]
    for line in lines:
        line.close()


async def test_of_slots_that_wait_there_are_a_hundred_at_most(line, rows, put_back, outcomes) -> None:
    await clock.put_built_in(line.fetch, [replace(HOURLY, misfire="catch_up", overlap="queue")])
    await put_back(80)
    await clock.tick(line.fetch)
    await rows("UPDATE schedule_runs SET slot = slot - interval '100 days'")
    await put_back(49)
    await clock.tick(line.fetch)
    found = await outcomes()
    assert (found.count("enqueued"), found.count("queued"), found.count("skipped_overlap")) == (1, 100, 30)


async def test_overlapping_jobs_run_side_by_side_where_they_may(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [replace(HOURLY, misfire="catch_up", overlap="allow")])
    await put_back(4)
    assert await clock.tick(line.fetch) == {"default": 5}


async def test_a_paused_schedule_makes_nothing_and_its_history_has_no_hole(line, rows, put_back, outcomes) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await rows("UPDATE schedules SET paused_at = now()")
    await put_back(2)
    assert await clock.tick(line.fetch) == {}
    assert await outcomes() == ["paused"] * 3
    assert await rows("SELECT count(*) FROM jobs") == [(0,)]


async def test_after_a_long_outage_one_row_stands_for_the_older_slots(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [replace(HOURLY, interval_seconds=60)])
    await put_back(2999)
    assert await clock.tick(line.fetch) == {}
    assert await clock.seconds_to_next(line.fetch) < 0
    assert await clock.tick(line.fetch) == {"default": 1}
    assert await rows("SELECT count(*), sum(slots), max(slots) FROM schedule_runs") == [(1001, 3000, 2000)]


async def test_with_jitter_the_job_starts_later_than_its_slot(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [replace(HOURLY, interval_seconds=31_536_000, jitter_seconds=3600)])
    await rows("UPDATE schedules SET next_slot = now() - interval '1 second', jitter_seconds = 2000000000")
    assert await clock.tick(line.fetch) == {}
    ((state, later),) = await rows("SELECT state, run_at > slot FROM jobs")
    assert (state, later) == ("scheduled", True)


async def test_args_that_the_kind_does_not_take_any_more_are_said_so(line, rows, put_back, outcomes) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await rows("""UPDATE schedules SET args = '{"gone": 1}'""")
    await put_back()
    assert await clock.tick(line.fetch) == {}
    assert await outcomes() == ["invalid_args"]


async def test_a_kind_that_this_beat_does_not_know_waits_for_one_that_does(line, rows, put_back) -> None:
    await clock.put_built_in(line.fetch, [HOURLY])
    await rows("UPDATE schedules SET kind = 'health.newer'")
    await put_back()
    assert await clock.tick(line.fetch) == {}
    assert await clock.seconds_to_next(line.fetch) is None
    await rows("UPDATE schedules SET kind = 'health.probe'")
    assert await clock.tick(line.fetch) == {"default": 1}


@pytest.mark.parametrize(
    "broken",
    ["cron = 'nonsense'", "cron = '0 0 * * *', time_zone = 'Moon/Base'", "cron = '0 0 * * *', time_zone = '../x'"],
)
async def test_a_rule_that_cannot_be_computed_does_not_hold_up_the_others(line, rows, put_back, broken: str) -> None:
    await clock.put_built_in(line.fetch, [HOURLY, replace(HOURLY, name="broken")])
    await put_back()
    await rows(f"UPDATE schedules SET interval_seconds = NULL, {broken} WHERE name = 'broken'")
    assert await clock.tick(line.fetch) == {"default": 1}


async def test_a_rule_that_cannot_be_computed_is_not_looked_at_all_the_time(settings: Settings, rows) -> None:
    scheduler = DatabaseScheduler(TaskApi(settings))
    await asyncio.to_thread(scheduler.tick)
    await rows(
        "UPDATE schedules SET next_slot = now(), interval_seconds = NULL, cron = 'nonsense' WHERE name = 'cleanup'"
    )
    assert await asyncio.to_thread(scheduler.tick) == 1
    await asyncio.to_thread(scheduler.close)


async def test_a_signal_ends_a_beat_in_the_middle_of_a_tick_and_between_two(settings: Settings, rows) -> None:
    scheduler = DatabaseScheduler(TaskApi(settings))
    scheduler._loop.call_soon(scheduler.stop)
    for _ in range(2):
        with pytest.raises(SystemExit):
            await asyncio.to_thread(scheduler.tick)
    assert await rows("SELECT 1 FROM schedules") == []
    await asyncio.to_thread(scheduler.close)


def test_what_comes_built_in_has_a_kind_that_needs_no_args() -> None:
    load(KIND_MODULES)
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
        connected = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'taskapi-beat' AND datname = current_database()"
        )
        while len(await rows(connected)) < 3 or len(await rows("SELECT 1 FROM schedules")) < len(BUILT_IN):
            await asyncio.sleep(0.05)
        beats[0].send_signal(signal.SIGSTOP)
        # Marked as an operator's, so that a beat which is still starting does not put the code's times back.
        await rows(
            "UPDATE schedules SET interval_seconds = 1, cron = NULL, jitter_seconds = 0, overlap = 'allow',"
            " next_slot = date_trunc('second', now()), retimed = true"
        )
        handled = f"SELECT slot FROM schedule_runs GROUP BY slot HAVING count(*) = {len(BUILT_IN)}"
        while len(await rows(handled)) < 3:
            await asyncio.sleep(0.05)
        for beat in beats[1:]:
            beat.send_signal(signal.SIGTERM)
        assert [await beat.wait() for beat in beats[1:]] == [0, 0]
        assert await rows("SELECT 1 FROM jobs GROUP BY schedule_id, slot HAVING count(*) > 1") == []
        gaps = "SELECT slot - lag(slot) OVER (PARTITION BY schedule_id ORDER BY slot) FROM schedule_runs"
        assert {gap.total_seconds() for (gap,) in await rows(gaps) if gap is not None} == {1.0}
    finally:
        for beat in beats:
            if beat.returncode is None:
                beat.kill()
                await beat.wait()
