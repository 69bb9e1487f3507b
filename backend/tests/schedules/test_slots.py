from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.schedules.slots import CATCH_UP_LIMIT, HISTORY, due, next_slot

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
intervals = st.integers(1, 100_000).map(lambda seconds: timedelta(seconds=seconds))


@given(intervals, moments)
def test_the_next_slot_is_later_and_at_most_an_interval_away(interval: timedelta, after: datetime) -> None:
    assert after < next_slot(interval, after) <= after + interval


@given(intervals, moments, st.timedeltas(timedelta(0), timedelta(hours=3)))
def test_every_beat_computes_the_same_slots(interval: timedelta, planned: datetime, late: timedelta) -> None:
    slot = next_slot(interval, planned)
    early, later = due(interval, "run_once", slot, slot), due(interval, "run_once", slot, slot + late)
    assert early.run == [slot]
    assert slot in later.missed + later.run
    assert later.next_slot == next_slot(interval, slot + late)


def test_a_slot_in_time_runs() -> None:
    found = due(MINUTE, "run_once", NOON, NOON + timedelta(seconds=5))
    assert (found.run, found.missed, found.next_slot) == ([NOON], [], NOON + MINUTE)


def test_after_an_outage_the_latest_slot_runs_and_the_others_are_written_down_as_missed() -> None:
    found = due(MINUTE, "run_once", NOON, NOON + 3.5 * MINUTE)
    assert found.missed == [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
    assert found.run == [NOON + 3 * MINUTE]


def test_catching_up_runs_them_all_up_to_a_limit() -> None:
    assert len(due(MINUTE, "catch_up", NOON, NOON + 5 * MINUTE).run) == 6
    found = due(MINUTE, "catch_up", NOON, NOON + 1000 * MINUTE)
    assert (len(found.run), len(found.missed)) == (CATCH_UP_LIMIT, 901)


def test_history_that_would_be_pruned_at_once_is_not_written() -> None:
    found = due(timedelta(hours=1), "run_once", NOON - timedelta(days=300), NOON)
    assert min(found.missed) > NOON - HISTORY
