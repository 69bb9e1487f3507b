"""`POST /reports`, and what a job does when things have changed by the time it runs."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.kit.clock import utc_now
from app.reports.job_args import ReportArgs
from app.worker import enqueue
from app.worker.testing import run_jobs_until_idle


async def test_without_a_word_it_is_the_last_thirty_days_as_a_page(api, app) -> None:
    answer = await api.post("/reports", json={})

    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["queue"], job["state"]) == ("report.generate", "reports", "available")
    async with app.state.database.session() as session:
        args = await session.scalar(text("SELECT args FROM jobs WHERE id = :id"), {"id": job["id"]})
    today = utc_now().date()
    assert (args["format"], args["until"]) == ("html", str(today))
    assert args["since"] == str(today - timedelta(days=29))


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"format": "docx"}, "/format", "literal_error"),
        ({"since": "2026-02-30"}, "/since", "date_from_datetime_parsing"),
        ({"since": 0}, "/since", "not_a_day"),
        ({"since": "2026-01-01T00:00:00"}, "/since", "not_a_day"),
        ({"since": "0001-01-01"}, "/since", "greater_than_equal"),
        ({"until": "9999-12-31"}, "/until", "less_than"),
        ({"since": "2026-02-02", "until": "2026-02-01"}, "/since", "invalid_period"),
        ({"since": "2025-01-01", "until": "2026-01-02"}, "/since", "invalid_period"),
        ({"days": 0}, "/days", "greater_than_equal"),
        ({"days": 367}, "/days", "less_than_equal"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone", "unknown_time_zone"),
        ({"label_ids": [str(uuid4())]}, "/label_ids", "invalid_reference"),
        ({"project_ids": [str(uuid4())]}, "/project_ids", "invalid_reference"),
        ({"assignee_ids": [str(uuid4())]}, "/assignee_ids", "invalid_reference"),
        ({"workspace_id": str(uuid4())}, "/workspace_id", "invalid_reference"),
        ({"label_ids": [str(uuid4())] * 51}, "/label_ids", "too_long"),
        ({"colour": "blue"}, "/colour", "extra_forbidden"),
    ],
)
async def test_what_cannot_be_reported_on_is_refused_with_the_place(api, body, pointer, code) -> None:
    answer = await api.post("/reports", json=body)

    assert answer.status_code == 422, answer.text
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [(pointer, code)]


async def test_another_persons_workspace_and_labels_do_not_exist(api, bob, client) -> None:
    label = (await client.post("/labels", json={"name": "mine"}, headers=bob.headers)).json()["id"]

    for body in ({"workspace_id": str(bob.workspace_id)}, {"label_ids": [label]}, {"assignee_ids": [str(bob.user_id)]}):
        assert (await api.post("/reports", json=body)).status_code == 422


async def test_who_may_only_look_may_order_a_report(api, ada, bob, client, join) -> None:
    await join(bob, "Bob", role="viewer")

    answer = await client.post("/reports", json={"workspace_id": str(ada.workspace_id)}, headers=bob.headers)

    assert answer.status_code == 202


async def test_who_has_left_the_workspace_meanwhile_gets_nothing(api, ada, app, bob, client, join) -> None:
    await join(bob, "Bob")
    answer = await client.post("/reports", json={"workspace_id": str(ada.workspace_id)}, headers=bob.headers)
    async with app.state.database.transaction() as session:
        await session.execute(
            text("DELETE FROM workspace_members WHERE user_id = :id AND role = 'member'"), {"id": bob.user_id}
        )
    await run_jobs_until_idle(app.state.settings)

    job = (await client.get(answer.headers["Location"], headers=bob.headers)).json()
    assert (job["state"], job["errors"][0]["code"], job["result"]) == ("discarded", "not_found", None)
    async with app.state.database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM stored_files")) == 0


async def test_an_attempt_after_the_file_was_stored_makes_no_second_one(api, app) -> None:
    job_id = (await api.post("/reports", json={})).json()["id"]
    await run_jobs_until_idle(app.state.settings)
    first = (await api.get(f"/jobs/{job_id}")).json()["result"]
    async with app.state.database.transaction() as session:
        # As if the worker had died between storing and saying so.
        await session.execute(text("UPDATE jobs SET state = 'available', result = NULL, finished_at = NULL"))
    await run_jobs_until_idle(app.state.settings)

    assert (await api.get(f"/jobs/{job_id}")).json()["result"] == first
    async with app.state.database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM stored_files")) == 1


async def test_a_period_that_only_the_job_can_tell_is_checked_by_it(app, ada, api) -> None:
    async with app.state.database.transaction() as session:
        args = ReportArgs(since=date(2020, 1, 1))
        job = await enqueue(session, args, created_by=ada.user_id, workspace_id=ada.workspace_id)
    await run_jobs_until_idle(app.state.settings)

    assert (await api.get(f"/jobs/{job.id}")).json()["errors"][0]["code"] == "invalid_period"
