"""The laws of slots: ever later, each once, in the zone, over every change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.errors import InvalidInput
from app.schedules.slots import (
    AT_ONCE,
    CATCH_UP_LIMIT,
    DETAILED,
    Interval,
    due,
    rule_of,
    start_of,
    upcoming,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY_MINUTE = Interval(MINUTE)
BERLIN = "Europe/Berlin"
ZONES = [
    "UTC",
    BERLIN,
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Africa/Casablanca",
]

moments = st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
intervals = st.integers(1, 100_000).map(lambda seconds: timedelta(seconds=seconds))
zones = st.sampled_from(ZONES)


def columns(**given) -> dict:
    return {"cron": None, "interval_seconds": None, "rrule": None, "starts_at": None, "time_zone": "UTC"} | given


def some(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.just("*"), st.lists(numbers, min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))
    )


crons = st.tuples(
    some(st.integers(0, 59)),
    some(st.integers(0, 23)),
    some(st.integers(1, 28)),
    some(st.integers(1, 12)),
    some(st.integers(0, 7)),
).map(" ".join)


@st.composite
def rrules(draw) -> str:
    parts = [f"FREQ={draw(st.sampled_from(['YEARLY', 'MONTHLY', 'WEEKLY', 'DAILY', 'HOURLY', 'MINUTELY']))}"]
    if draw(st.booleans()):
        parts.append(f"INTERVAL={draw(st.integers(1, 6))}")
    if draw(st.booleans()):
        parts.append(f"BYHOUR={draw(st.integers(0, 23))}")
    if draw(st.booleans()):
        parts.append(f"BYDAY={draw(st.sampled_from(['MO', 'TU,WE', 'SU']))}")
    return ";".join(parts)


schedules = st.one_of(
    intervals.map(lambda length: columns(interval_seconds=int(length.total_seconds()))),
    st.builds(lambda cron, zone: columns(cron=cron, time_zone=zone), crons, zones),
    st.builds(lambda rrule, zone, at: columns(rrule=rrule, time_zone=zone, starts_at=at), rrules(), zones, moments),
)


def slots(schedule: dict, after: datetime, count: int) -> list[datetime]:
    try:
        return list(islice(rule_of(schedule).after(after), count))
    except InvalidInput as error:
        assert error.errors[0].code == "rule_never_fires"
        return []


@given(schedules, moments)
def test_slots_come_ever_later_and_each_once(schedule: dict, after: datetime) -> None:
    found = slots(schedule, after, 12)
    assert all(one < two for one, two in pairwise([after, *found]))


@given(schedules, moments, st.integers(0, 10))
def test_from_wherever_a_beat_looks_it_finds_the_same_slots(schedule: dict, after: datetime, skipped: int) -> None:
    found = slots(schedule, after, 12)
    for start in found[skipped : skipped + 1]:
        rest = found[skipped + 1 :]
        assert slots(schedule, start, len(rest)) == rest
        assert slots(schedule, start - timedelta(microseconds=1), len(rest) + 1) == [start, *rest]


@given(crons, zones, moments)
def test_a_cron_slot_shows_on_the_wall_what_the_expression_names(cron: str, zone: str, after: datetime) -> None:
    minutes, hours, days, months, weekdays = (
        None if field == "*" else {int(one) for one in field.split(",")} for field in cron.split()
    )
    for slot in slots(columns(cron=cron, time_zone=zone), after, 5):
        wall = slot.astimezone(ZoneInfo(zone))
        if wall.replace(tzinfo=None) != _of_the_clock(wall):
            continue
        before = (slot - timedelta(days=1)).astimezone(ZoneInfo(zone)).utcoffset()
        if wall.utcoffset() != before:
            continue  # moved by a change of the clocks: the tests below
        assert minutes is None or wall.minute in minutes
        assert hours is None or wall.hour in hours
        assert months is None or wall.month in months
        on_day = days is None or wall.day in days
        on_weekday = weekdays is None or wall.isoweekday() % 7 in {number % 7 for number in weekdays}
        assert (on_day or on_weekday) if days and weekdays else (on_day and on_weekday)


def _of_the_clock(wall: datetime) -> datetime:
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None)


@given(zones, st.integers(0, 23), st.integers(0, 59), st.integers(2012, 2038))
def test_a_daily_time_comes_once_each_day_of_the_year(zone: str, hour: int, minute: int, year: int) -> None:
    """Also on the days of the change; only a day that a zone left out altogether has none."""
    start = datetime(year, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC) - timedelta(microseconds=1)
    schedule = columns(cron=f"{minute} {hour} * * *", time_zone=zone)
    days = [slot.astimezone(ZoneInfo(zone)).date() for slot in slots(schedule, start, 365)]
    assert all(two - one == timedelta(days=1) for one, two in pairwise(days))


SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("rule", [{"cron": "30 2 * * *"}, {"rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"}])
@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (SPRING, ["2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"]),
        (AUTUMN, ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
    ],
)
def test_half_past_two_runs_once_on_both_days_of_the_change(rule: dict, after: datetime, expected: list[str]) -> None:
    schedule = columns(**rule, time_zone=BERLIN, starts_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert [slot.astimezone(ZoneInfo(BERLIN)).isoformat() for slot in slots(schedule, after, 2)] == expected


@pytest.mark.parametrize("rule", [{"cron": "*/30 * * * *"}, {"rrule": "FREQ=MINUTELY;INTERVAL=30"}])
@pytest.mark.parametrize("after", [SPRING, AUTUMN])
def test_what_runs_all_day_has_neither_pause_nor_doubles_on_the_days_of_the_change(rule: dict, after: datetime) -> None:
    schedule = columns(**rule, time_zone=BERLIN, starts_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert {two - one for one, two in pairwise(slots(schedule, after, 60))} == {timedelta(minutes=30)}


def test_the_hours_that_a_rule_names_come_once_when_the_clocks_go_back() -> None:
    found = slots(columns(cron="*/20 1-3 * * *", time_zone=BERLIN), datetime(2026, 10, 24, 22, tzinfo=UTC), 9)
    walls = [slot.astimezone(ZoneInfo(BERLIN)).strftime("%H:%M") for slot in found]
    assert walls == ["01:00", "01:20", "01:40", "02:00", "02:20", "02:40", "03:00", "03:20", "03:40"]


@given(intervals, moments)
def test_an_interval_s_next_slot_is_at_most_an_interval_away(interval: timedelta, after: datetime) -> None:
    assert after < next(Interval(interval).after(after)) <= after + interval


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * fri-sun", ["06", "07", "08", "13"]),
        ("0 9 1,15 * mon", ["02", "09", "15", "16"]),
        ("0 9 10-12/2 mar *", ["10", "12"]),
        ("0 9 5/10 MAR *", ["05", "15", "25"]),
        ("0 9 * * 7", ["08", "15"]),
    ],
)
def test_fields_of_a_cron_expression(cron: str, expected: list[str]) -> None:
    found = [slot.strftime("%d") for slot in slots(columns(cron=cron), datetime(2026, 3, 1, 12, tzinfo=UTC), 40)]
    assert found[: len(expected)] == expected


def test_a_starred_day_and_a_weekday_must_both_hold() -> None:
    found = slots(columns(cron="0 9 */10 * mon"), datetime(2026, 3, 1, 12, tzinfo=UTC), 2)
    assert [slot.strftime("%m-%d") for slot in found] == ["05-11", "06-01"]


REFUSED_CRON = [
    "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *",
    "5-1 * * * *", "a * * * *", "* * L * *", "1,,2 * * * *", "-1 * * * *", "* * * foo *", "١ * * * *", "000 * * * *",
]  # fmt: skip


@pytest.mark.parametrize("expression", REFUSED_CRON)
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rule_of(columns(cron=expression))
    assert (caught.value.errors[0].pointer, caught.value.errors[0].code) == ("/cron", "invalid_cron")


REFUSED_RRULE = [
    ("FREQ=SECONDLY", "invalid_rrule"),
    ("FREQ=DAILY;COUNT=1000000", "invalid_rrule"),
    ("FREQ=DAILY;INTERVAL=0", "invalid_rrule"),
    ("FREQ=DAILY;BYHOUR=24", "invalid_rrule"),
    ("FREQ=DAILY;BYSECOND=0,1,2", "invalid_rrule"),
    ("FREQ=DAILY;BYDAY=2MO", "invalid_rrule"),
    ("FREQ=MONTHLY;BYDAY=0MO", "invalid_rrule"),
    ("FREQ=MONTHLY;BYDAY=1MO,53SU", "invalid_rrule"),
    ("FREQ=YEARLY;BYMONTH=12;BYDAY=53TU", "invalid_rrule"),
    ("FREQ=YEARLY;BYDAY=54MO", "invalid_rrule"),
    ("FREQ=MINUTELY;BYSETPOS=5", "invalid_rrule"),
    ("FREQ=DAILY;FREQ=DAILY", "invalid_rrule"),
    ("FREQ=DAILY;COUNT=1;UNTIL=20270101", "invalid_rrule"),
    ("FREQ=DAILY;UNTIL=20271301", "invalid_rrule"),
    ("FREQ=DAILY;UNTIL=20200101", "invalid_rrule"),
    ("FREQ=DAILY;BYMONTHDAY=", "invalid_rrule"),
    ("nonsense", "invalid_rrule"),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "rule_never_fires"),
    ("FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30", "rule_never_fires"),
    ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", "rule_never_fires"),
    ("FREQ=HOURLY;INTERVAL=2;BYHOUR=1", "rule_never_fires"),
]


@pytest.mark.parametrize(("rrule", "code"), REFUSED_RRULE)
def test_what_is_no_rule_or_never_fires_is_refused(rrule: str, code: str) -> None:
    schedule = columns(rrule=rrule, starts_at=datetime(2026, 3, 2, 12, tzinfo=UTC))  # a Monday
    with pytest.raises(InvalidInput) as caught:
        upcoming(schedule, NOON, 1)
    assert (caught.value.errors[0].pointer, caught.value.errors[0].code) == ("/rrule", code)


def test_a_rule_of_impossible_dates_in_a_cron_expression_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        upcoming(columns(cron="0 0 31 2 *"), NOON, 1)
    assert caught.value.errors[0].code == "rule_never_fires"


@pytest.mark.parametrize(
    ("rrule", "expected"),
    [
        ("FREQ=MONTHLY;BYDAY=-1FR", ["2026-03-27T08:30", "2026-04-24T08:30", "2026-05-29T08:30"]),
        ("FREQ=WEEKLY;INTERVAL=2", ["2026-03-16T08:30", "2026-03-30T08:30", "2026-04-13T08:30"]),
        ("FREQ=DAILY;COUNT=3", ["2026-03-03T08:30", "2026-03-04T08:30"]),
        ("FREQ=DAILY;UNTIL=20260304", ["2026-03-03T08:30", "2026-03-04T08:30"]),
        ("FREQ=YEARLY", ["2027-03-02T08:30", "2028-03-02T08:30", "2029-03-02T08:30"]),
        (
            "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            ["2026-03-31T08:30", "2026-04-30T08:30", "2026-05-29T08:30"],
        ),
    ],
)
def test_a_recurrence_takes_what_it_does_not_say_from_its_start(rrule: str, expected: list[str]) -> None:
    starts_at = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
    found = slots(columns(rrule=rrule, starts_at=starts_at), starts_at, 3)
    assert [slot.isoformat()[:16] for slot in found] == expected


def test_no_slot_is_before_the_start() -> None:
    schedule = columns(cron="0 * * * *", starts_at=NOON + timedelta(days=1))
    assert upcoming(schedule, NOON, 1) == [NOON + timedelta(days=1)]
    assert upcoming(schedule, NOON + timedelta(days=2), 1) == [NOON + timedelta(days=2, hours=1)]


def test_a_slot_in_time_runs() -> None:
    for misfire in ("skip", "run_once", "catch_up"):
        found = due(EVERY_MINUTE, misfire, NOON, NOON + timedelta(seconds=5))
        assert (found.run, found.missed, found.next_slot) == ([NOON], [], NOON + MINUTE)


def test_after_an_outage_the_latest_slot_runs_and_the_others_are_written_down_as_missed() -> None:
    found = due(EVERY_MINUTE, "run_once", NOON, NOON + 3.5 * MINUTE)
    assert found.missed == [(NOON, 1), (NOON + MINUTE, 1), (NOON + 2 * MINUTE, 1)]
    assert found.run == [NOON + 3 * MINUTE]


def test_skipping_leaves_out_even_the_latest_when_it_is_late() -> None:
    hourly = Interval(60 * MINUTE)
    assert due(hourly, "skip", NOON, NOON + 2 * MINUTE).run == []
    assert due(hourly, "run_once", NOON, NOON + 2 * MINUTE).run == [NOON]


def test_catching_up_runs_them_all_up_to_a_limit() -> None:
    assert len(due(EVERY_MINUTE, "catch_up", NOON, NOON + 5 * MINUTE).run) == 6
    found = due(EVERY_MINUTE, "catch_up", NOON, NOON + 900 * MINUTE)
    assert (len(found.run), len(found.missed)) == (CATCH_UP_LIMIT, 801)


@given(st.integers(0, 30_000), st.sampled_from(["skip", "run_once", "catch_up"]))
def test_an_outage_of_any_length_leaves_no_hole_and_few_rows(minutes: int, misfire: str) -> None:
    now = NOON + minutes * MINUTE
    planned, rows, total, rounds = NOON, 0, 0, 0
    while planned is not None and planned <= now:
        found = due(EVERY_MINUTE, misfire, planned, now)
        handled = [*found.missed, *((slot, 1) for slot in found.run)]
        for (slot, count), (following, _) in pairwise(handled):
            assert slot + count * MINUTE == following
        assert handled[0][0] == planned
        assert handled[-1][0] + handled[-1][1] * MINUTE == found.next_slot
        rows, total, rounds = rows + len(handled), total + sum(count for _, count in handled), rounds + 1
        planned = found.next_slot
    assert total == minutes + 1
    assert rows <= DETAILED + rounds <= DETAILED + 2 + minutes // (AT_ONCE - DETAILED)


def test_a_rule_that_has_ended_has_no_next_slot() -> None:
    schedule = columns(rrule="FREQ=DAILY;COUNT=2", starts_at=NOON)
    assert due(rule_of(schedule), "run_once", NOON, NOON + MINUTE).next_slot == NOON + timedelta(days=1)
    assert due(rule_of(schedule), "run_once", NOON + timedelta(days=1), NOON + timedelta(days=9)).next_slot is None


@given(st.uuids(), moments, st.integers(0, 3600))
def test_jitter_is_bounded_and_for_one_slot_always_the_same(schedule_id: UUID, slot: datetime, jitter: int) -> None:
    start = start_of(schedule_id, slot, jitter)
    assert slot <= start <= slot + timedelta(seconds=jitter)
    assert start == start_of(schedule_id, slot, jitter)


def test_jitter_spreads_the_schedules_of_one_slot() -> None:
    assert len({start_of(UUID(int=number), NOON, 3600) for number in range(50)}) > 40
