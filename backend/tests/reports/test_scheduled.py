"""What the schedules order: a report for each workspace in which something happened."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from app.kit.ids import new_id
from app.reports.job_args import DailyArgs, WeeklyArgs
from app.schedules.builtin import BUILT_IN
from app.schedules.slots import upcoming
from app.worker import enqueue
from app.worker.testing import run_jobs_until_idle


@pytest.fixture
def fire(app):
    """Runs the job of a slot, and the reports that it orders; returns the args of those."""

    async def fire(args: Any, slot: datetime, zone: str = "UTC") -> list[dict[str, Any]]:
        async with app.state.database.transaction() as session:
            schedule_id = new_id()
            await session.execute(
                text("""INSERT INTO schedules (id, name, kind, args, interval_seconds, next_slot, time_zone, built_in)
                        VALUES (:id, 'test', 'test', '{}', 86400, now(), :zone, true)"""),
                {"id": schedule_id, "zone": zone},
            )
            job = await enqueue(session, args)
            await session.execute(
                text("UPDATE jobs SET slot = :slot, schedule_id = :schedule WHERE id = :id"),
                {"slot": slot, "schedule": schedule_id, "id": job.id},
            )
        await run_jobs_until_idle(app.state.settings)
        async with app.state.database.session() as session:
            found = await session.execute(
                text(
                    "SELECT state, args || jsonb_build_object('workspace_id', workspace_id) FROM jobs WHERE kind = 'report.generate'"
                )
            )
            reports = found.all()
            assert {state for state, _ in reports} <= {"completed"}
            return [args for _, args in reports]

    return fire


@pytest.fixture
def happened(app):
    async def happened(*moments: datetime) -> None:
        async with app.state.database.transaction() as session:
            await session.execute(text("DELETE FROM changes"))
            for moment in moments:
                await session.execute(
                    text("""INSERT INTO changes (workspace_id, resource, resource_id, version, action, operation_id, created_at)
                            SELECT id, 'task', gen_random_uuid(), 1, 'created', gen_random_uuid(), :at FROM workspaces
                            ORDER BY created_at LIMIT 1"""),
                    {"at": moment},
                )

    return happened


async def test_the_day_that_is_over_is_reported_on_to_the_owner(ada, bob, fire, happened, api) -> None:
    await happened(datetime(2026, 3, 9, 23, 59, tzinfo=UTC))

    reports = await fire(DailyArgs(), datetime(2026, 3, 10, tzinfo=UTC))

    assert [(one["workspace_id"], one["since"], one["until"]) for one in reports] == [
        (str(ada.workspace_id), "2026-03-09", "2026-03-09")
    ]
    mine = (await api.get("/jobs", params={"kind": "report.generate"})).json()["items"]
    assert [(job["state"], job["workspace_id"]) for job in mine] == [("completed", str(ada.workspace_id))]


async def test_where_nothing_happened_there_is_no_report(ada, fire, happened) -> None:
    await happened(datetime(2026, 3, 8, 23, 59, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC))

    assert await fire(DailyArgs(), datetime(2026, 3, 10, tzinfo=UTC)) == []


async def test_the_week_that_is_over_goes_from_monday_to_sunday(ada, fire, happened) -> None:
    await happened(datetime(2026, 3, 2, tzinfo=UTC))

    reports = await fire(WeeklyArgs(), datetime(2026, 3, 9, 8, tzinfo=UTC))

    assert [(one["since"], one["until"]) for one in reports] == [("2026-03-02", "2026-03-08")]


async def test_days_are_those_of_the_schedules_zone(ada, fire, happened) -> None:
    await happened(datetime(2026, 3, 9, 11, 30, tzinfo=UTC))  # the 10th in Auckland

    reports = await fire(DailyArgs(), datetime(2026, 3, 10, 11, tzinfo=UTC), "Pacific/Auckland")

    assert [(one["since"], one["time_zone"]) for one in reports] == [("2026-03-10", "Pacific/Auckland")]


async def test_a_repeated_attempt_orders_nothing_twice(ada, fire, happened, app) -> None:
    await happened(datetime(2026, 3, 9, tzinfo=UTC))
    await fire(DailyArgs(), datetime(2026, 3, 10, tzinfo=UTC))
    async with app.state.database.transaction() as session:
        await session.execute(
            text("UPDATE jobs SET state = 'available', finished_at = NULL WHERE kind = 'report.daily'")
        )
    await run_jobs_until_idle(app.state.settings)

    async with app.state.database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM jobs WHERE kind = 'report.generate'")) == 1


async def test_everyone_may_have_a_schedule_of_reports(api, ada, app) -> None:
    wanted = {"name": "Weekly", "kind": "report.generate", "cron": "0 7 * * mon", "args": {"days": 7, "format": "csv"}}
    answer = await api.post("/schedules", json=wanted)
    assert answer.status_code == 201, answer.text
    triggered = await api.post(f"/schedules/{answer.json()['id']}/trigger")
    assert triggered.status_code == 202, triggered.text
    await run_jobs_until_idle(app.state.settings)

    job = (await api.get(f"/jobs/{triggered.json()['id']}")).json()
    assert (job["state"], job["workspace_id"]) == ("completed", str(ada.workspace_id))
    file = await api.get(f"/jobs/{job['id']}/result")
    assert job["result"]["name"] in file.headers["Content-Disposition"]
    assert file.text.startswith("section,name,measure,value")


@pytest.mark.parametrize(
    ("name", "kind", "slots"),
    [
        ("daily-report", "report.daily", ["2026-03-11T00:00", "2026-03-12T00:00"]),
        ("weekly-report", "report.weekly", ["2026-03-16T08:00", "2026-03-23T08:00"]),
        ("statistics", "maintenance.refresh_stats", ["2026-03-10T13:00", "2026-03-10T14:00"]),
        ("monthly-usage", "billing.usage", ["2026-04-01T00:10", "2026-05-01T00:10"]),
    ],
)
def test_built_in_ones_come_when_they_should(name, kind, slots) -> None:
    schedule = next(one for one in BUILT_IN if one.name == name)
    coming = upcoming(schedule.timing(), datetime(2026, 3, 10, 12, 30, tzinfo=UTC), 2)

    assert schedule.kind == kind
    assert [f"{slot:%Y-%m-%dT%H:%M}" for slot in coming] == slots
