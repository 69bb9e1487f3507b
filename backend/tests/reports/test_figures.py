"""The numbers, against data made by hand."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.kit.clock import utc_now


def read(content: bytes) -> dict[tuple[str, str, str], str]:
    lines = list(csv.reader(io.StringIO(content.decode())))
    assert lines[0] == ["section", "name", "measure", "value"]
    found = {tuple(line[:3]): line[3] for line in lines[1:]}
    assert len(found) == len(lines) - 1
    return found


@pytest.fixture
def numbers(report):
    async def numbers(**wanted: Any) -> dict[tuple[str, str, str], str]:
        return read(await report(format="csv", **wanted))

    return numbers


def at(day: int, hour: int = 12, *, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


MARCH = {"since": "2026-03-01", "until": "2026-03-10"}


def totals(found: dict[tuple[str, str, str], str]) -> dict[str, str]:
    return {measure: value for (section, _, measure), value in found.items() if section == "totals"}


async def test_what_was_created_and_done_is_counted_by_day(add, numbers) -> None:
    await add(created_at=at(1), completed_at=at(3))
    await add(created_at=at(1), completed_at=at(5))
    await add(created_at=at(10))
    await add(created_at=at(20, month=2), completed_at=at(3))
    await add(created_at=at(11))  # after the period

    found = await numbers(**MARCH)

    assert totals(found) | {"open": "", "overdue": ""} == {
        "created": "3",
        "done": "3",
        "created_before": "1",  # from 19 to 28 February
        "done_before": "0",
        "with_due": "0",
        "on_time": "0",
        "median_days": "4.0",  # of 2, 4 and 11 days
        "open": "",
        "overdue": "",
    }
    days = {(name, measure): int(value) for (section, name, measure), value in found.items() if section == "by_day"}
    assert len(days) == 20
    assert {key: value for key, value in days.items() if value} == {
        ("2026-03-01", "created"): 2,
        ("2026-03-10", "created"): 1,
        ("2026-03-03", "done"): 2,
        ("2026-03-05", "done"): 1,
    }


async def test_a_longer_period_is_counted_by_week_from_monday(add, numbers) -> None:
    await add(created_at=at(1))  # a Sunday
    await add(created_at=at(2))
    await add(created_at=at(8))

    found = await numbers(since="2026-03-01", until="2026-04-10")

    weeks = {
        name: value for (section, name, measure), value in found.items() if (section, measure) == ("by_week", "created")
    }
    assert weeks == {
        "2026-03-01": "1",  # the part of the week that lies in the period
        "2026-03-02": "2",
        **dict.fromkeys(["2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30", "2026-04-06"], "0"),
    }


async def test_days_are_those_of_the_asking_persons_zone(add, numbers, api) -> None:
    await add(created_at=at(1, 3))  # still the 28th of February in New York
    await add(created_at=at(2, 3))  # the 1st

    assert (await api.patch("/auth/me", json={"time_zone": "America/New_York"})).status_code == 200
    found = await numbers(since="2026-03-01", until="2026-03-01")
    elsewhere = await numbers(since="2026-03-01", until="2026-03-01", time_zone="UTC")

    assert found["totals", "", "created"] == found["by_day", "2026-03-01", "created"] == "1"
    assert (found["totals", "", "created_before"], elsewhere["totals", "", "created_before"]) == ("1", "0")
    assert found["report", "Personal", "time_zone"] == "America/New_York"


async def test_a_day_with_a_clock_change_is_counted_whole(add, numbers) -> None:
    for hour in (0, 21):  # 23 hours: from 23:00 UTC the day before until 22:00
        await add(created_at=at(29, hour))
    await add(created_at=at(29, 22))

    found = await numbers(since="2026-03-29", until="2026-03-29", time_zone="Europe/Berlin")

    assert found["totals", "", "created"] == "2"


async def test_open_overdue_and_their_age_are_of_now(add, numbers) -> None:
    now = utc_now()
    for age, late in ((0, None), (7, 0), (8, 3), (31, 10), (400, 31)):
        due = None if late is None else now - timedelta(days=late, seconds=1)
        await add(created_at=now - timedelta(days=age), due_at=due)
    await add(created_at=now, due_at=now + timedelta(days=1))
    closed = {"created_at": now, "due_at": now - timedelta(days=1)}
    await add(status="cancelled", **closed)
    await add(archived_at=now, **closed)
    await add(completed_at=now, **closed)
    await add(deleted_at=now, **closed)

    found = await numbers(**MARCH)

    assert (found["totals", "", "open"], found["totals", "", "overdue"]) == ("6", "4")
    ages = [int(value) for (section, _, _), value in found.items() if section == "age"]
    assert ages == [3, 1, 1, 0, 1]
    late = [int(value) for (section, _, _), value in found.items() if section == "lateness"]
    # A second more than whole days: at midnight a task of "today" is one of yesterday.
    assert (sum(late), late[2:]) == (4, [1, 1])
    days = [int(value) for (section, _, _), value in found.items() if section == "overdue_task"]
    assert days == sorted(days, reverse=True)
    assert len(days) == 4


async def test_being_on_time_counts_tasks_with_a_due_date(add, numbers) -> None:
    await add(created_at=at(1), completed_at=at(3), due_at=at(3))
    await add(created_at=at(1), completed_at=at(4), due_at=at(3))
    await add(created_at=at(1), completed_at=at(4))

    found = totals(await numbers(**MARCH))

    assert (found["with_due"], found["on_time"]) == ("2", "1")


async def test_a_task_of_two_people_counts_for_both(add, numbers, ada, bob, join) -> None:
    await join(bob, "Bob")
    now = utc_now()
    await add(people=(ada.user_id, bob.user_id), created_at=at(1), completed_at=at(2))
    await add(people=(bob.user_id,), created_at=now, due_at=now - timedelta(hours=1))
    await add(created_at=now)

    found = await numbers(**MARCH)

    people = {(name, measure): value for (section, name, measure), value in found.items() if section == "person"}
    assert people == {
        ("Bob", "done"): "1", ("Bob", "open"): "1", ("Bob", "overdue"): "1",
        ("ada@example.com", "done"): "1", ("ada@example.com", "open"): "0", ("ada@example.com", "overdue"): "0",
        ("Nobody", "done"): "0", ("Nobody", "open"): "1", ("Nobody", "overdue"): "0",
    }  # fmt: skip
    assert found["totals", "", "done"] == "1"


async def test_the_labels_with_least_share_a_line(add, numbers, label) -> None:
    for number in range(15):
        one = await label(f"label {number:02}")
        for _ in range(1 + (number < 12)):
            await add(labels=(one,))

    found = await numbers(**MARCH)

    labels = {
        name: value for (section, name, measure), value in found.items() if (section, measure) == ("label", "open")
    }
    assert labels == {**{f"label {number:02}": "2" for number in range(12)}, "3 others": "3"}


async def test_filters_hold_together(add, numbers, label, ada, bob, join, api) -> None:
    await join(bob, "Bob")
    spring, bug = await label("spring"), await label("bug")
    garden = (await api.post("/projects", json={"name": "Garden"})).json()["id"]
    wanted = await add("Sow", labels=(spring,), people=(bob.user_id,), project_id=garden)
    await add(labels=(bug,), people=(bob.user_id,), project_id=garden)
    await add(labels=(spring,), people=(ada.user_id,), project_id=garden)
    await add(labels=(spring,), people=(bob.user_id,))

    found = await numbers(
        **MARCH, label_ids=[str(spring)], assignee_ids=[str(bob.user_id)], project_ids=[garden]
    )  # fmt: skip

    assert wanted
    assert found["totals", "", "open"] == "1"
    assert {key[1] for key in found if key[0] == "filter"} == {"spring", "Bob", "Garden"}
    assert (await numbers(**MARCH, label_ids=[str(spring), str(bug)]))["totals", "", "open"] == "4"


async def test_other_workspaces_do_not_count(add, numbers, app, ada, bob, client) -> None:
    await add()
    assert (await client.post("/tasks", json={"title": "Bob's"}, headers=bob.headers)).status_code == 201

    assert (await numbers(**MARCH))["totals", "", "open"] == "1"


async def test_all_numbers_are_of_one_moment(add, app, ada) -> None:
    from app.reports import service
    from app.reports.job_args import ReportArgs

    await add(people=(ada.user_id,))
    args = ReportArgs()
    today = utc_now().date()
    async with app.state.database.snapshot(5) as connection:
        before = await service.figures(connection, ada.workspace_id, args, "UTC", today, today)
        async with app.state.database.transaction() as session:
            await session.execute(text("DELETE FROM tasks"))
        after = await service.figures(connection, ada.workspace_id, args, "UTC", today, today)

    assert after == before
    assert before.people[0].open == 1
