"""What each workspace uses, against data made by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

import app.usage.jobs  # noqa: F401  registers the handlers
from app.usage import repository
from app.usage.job_args import BillingArgs, RefreshStatsArgs
from app.worker import enqueue
from app.worker.testing import run_jobs_until_idle


@pytest.fixture
def run(app):
    async def run(args: Any) -> dict[str, int]:
        async with app.state.database.transaction() as session:
            job = await enqueue(session, args)
        await run_jobs_until_idle(app.state.settings)
        async with app.state.database.session() as session:
            found = await session.execute(text("SELECT state, result FROM jobs WHERE id = :id"), {"id": job.id})
            state, result = found.one()
        assert state == "completed"
        return result

    return run


@pytest.fixture
def execute(app):
    async def execute(sql: str, **params: Any) -> None:
        async with app.state.database.transaction() as session:
            await session.execute(text(sql), params)

    return execute


@pytest.fixture
def count(app):
    """A count at this moment, as the hourly job does it."""

    async def count(now: datetime) -> int:
        async with app.state.database.transaction() as session:
            return await repository.count(session, now)

    return count


@pytest.fixture
def add_jobs(ada, execute):
    async def add_jobs(number: int, created_at: datetime) -> None:
        await execute(
            """INSERT INTO jobs (id, kind, queue, args, state, max_attempts, workspace_id, created_at, finished_at)
               SELECT gen_random_uuid(), 'health.probe', 'default', '{}', 'completed', 1, :workspace, :at, :at
               FROM generate_series(1, :number)""",
            workspace=ada.workspace_id, at=created_at, number=number,
        )  # fmt: skip

    return add_jobs


@pytest.fixture
def statements(api, ada):
    async def statements() -> list[dict[str, Any]]:
        answer = await api.get(f"/workspaces/{ada.workspace_id}/usage")
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    return statements


def at(day: int, hour: int = 0, minute: int = 0, *, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


async def test_a_statement_says_what_the_workspace_used(api, ada, bob, count, statements, add_jobs, execute) -> None:
    for title in ("a", "b", "deleted"):
        task = (await api.post("/tasks", json={"title": title})).json()
    await api.delete(f"/tasks/{task['id']}")
    await execute(
        """INSERT INTO stored_files (id, workspace_id, storage_key, name, media_type, size, sha256)
           SELECT gen_random_uuid(), :workspace, n, 'f', 'text/plain', 1000, '' FROM unnest(ARRAY['x', 'y']) n""",
        workspace=ada.workspace_id,
    )
    await execute(
        "INSERT INTO workspace_members (workspace_id, user_id, role) VALUES (:workspace, :user, 'member')",
        workspace=ada.workspace_id, user=bob.user_id,
    )  # fmt: skip
    for number, moment in ((3, at(1)), (5, at(15, 11, 54)), (7, at(15, 11, 56)), (11, at(28, 23, 59, month=2))):
        await add_jobs(number, moment)

    await count(at(15, 12))

    assert await statements() == [
        {
            "workspace_id": str(ada.workspace_id),
            "month": "2026-03-01",
            "tasks": 2,
            "members": 2,
            "file_bytes": 2000,
            "jobs": 8,  # the 7 of the last five minutes wait for the next count
            "closed_at": None,
        }
    ]


async def test_jobs_are_counted_once_and_stay_counted_when_they_are_pruned(
    count, statements, add_jobs, execute
) -> None:
    await add_jobs(4, at(2))
    assert await count(at(3)) > 0
    assert await count(at(3)) == 0
    await execute("DELETE FROM jobs")
    await add_jobs(2, at(3, 5))
    await count(at(4))

    assert [one["jobs"] for one in await statements()] == [6]


async def test_the_most_of_the_month_is_kept(api, count, statements) -> None:
    task = (await api.post("/tasks", json={"title": "a"})).json()
    await count(at(3))
    await api.delete(f"/tasks/{task['id']}")
    await count(at(4))
    await count(at(2, month=4))

    assert [(one["month"], one["tasks"]) for one in await statements()] == [("2026-04-01", 0), ("2026-03-01", 1)]


async def test_what_comes_last_in_a_month_is_counted_in_the_next_and_its_size_is_not(
    api, count, statements, add_jobs
) -> None:
    await count(at(31, 23))
    await add_jobs(3, at(31, 23, 59))
    await api.post("/tasks", json={"title": "in April"})
    await count(at(1, 0, 10, month=4))

    april, march = await statements()
    assert (march["jobs"], march["tasks"]) == (3, 0)
    assert (april["jobs"], april["tasks"]) == (0, 1)


async def test_two_counts_at_once_count_each_job_once(app, statements, add_jobs) -> None:
    await add_jobs(4, at(2))
    first, second = app.state.database.session(), app.state.database.session()
    async with first, second:
        await repository.count(first, at(3))
        waiting = asyncio.create_task(repository.count(second, at(3)))
        await first.commit()
        assert await waiting == 0
        await second.commit()

    assert [one["jobs"] for one in await statements()] == [4]


async def test_a_month_that_is_over_is_closed_and_changes_no_more(api, count, run, statements, add_jobs) -> None:
    await count(at(15, month=1))
    await add_jobs(2, at(31, month=1))  # and no count was made for months
    assert (await run(BillingArgs()))["closed"] == 1
    closed = (await statements())[-1]
    assert (closed["month"], closed["jobs"]) == ("2026-01-01", 2)
    await api.post("/tasks", json={"title": "later"})
    await run(RefreshStatsArgs())
    assert (await run(BillingArgs()))["closed"] == 0

    assert closed["closed_at"] is not None
    assert (await statements())[-1] == closed


async def test_statements_are_for_the_admins_of_the_workspace(client, ada, bob, execute, run) -> None:
    path = f"/workspaces/{ada.workspace_id}/usage"
    assert (await client.get(path, headers=bob.headers)).status_code == 404
    await execute(
        "INSERT INTO workspace_members (workspace_id, user_id, role) VALUES (:workspace, :user, 'member')",
        workspace=ada.workspace_id, user=bob.user_id,
    )  # fmt: skip
    signed_in = await client.post("/auth/login", data={"username": bob.email, "password": bob.password})
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    assert (await client.get(path, headers=headers)).status_code == 403
