from __future__ import annotations

from uuid import uuid4

from sqlalchemy import text

import app.maintenance.jobs  # noqa: F401  registers its handler
from app.infra.database import Database
from app.maintenance.job_args import CleanupArgs
from app.worker import enqueue
from app.worker.proof import ProbeArgs
from app.worker.testing import run_jobs_until_idle


async def clean(database: Database, settings) -> dict[str, int]:
    async with database.transaction() as session:
        job = await enqueue(session, CleanupArgs())
    assert await run_jobs_until_idle(settings) == 1
    async with database.session() as session:
        found = await session.execute(text("SELECT state, result FROM jobs WHERE id = :id"), {"id": job.id})
        state, result = found.one()
    assert state == "completed"
    return result


async def test_finished_jobs_go_after_the_retention_of_their_kind(database: Database, settings) -> None:
    async with database.transaction() as session:
        old, fresh = await enqueue(session, ProbeArgs()), await enqueue(session, ProbeArgs())
        await session.execute(text("UPDATE jobs SET state = 'completed', finished_at = now() - interval '30 minutes'"))
        await session.execute(
            text("UPDATE jobs SET finished_at = now() - interval '61 minutes' WHERE id = :id"), {"id": old.id}
        )
    assert await clean(database, settings) == {"jobs": 1}
    async with database.session() as session:
        left = await session.scalars(text("SELECT id FROM jobs WHERE kind = 'health.probe'"))
        assert list(left) == [fresh.id]


async def test_idempotency_keys_go_after_a_day(database: Database, settings) -> None:
    async with database.transaction() as session:
        for hours in (23, 25):
            await session.execute(
                text(
                    "INSERT INTO idempotency_keys (caller_id, key, fingerprint, status, headers, body, created_at)"
                    " VALUES (:caller, 'k', '', 200, '{}', '', now() - make_interval(hours => :hours))"
                ),
                {"caller": uuid4(), "hours": hours},
            )
    assert await clean(database, settings) == {"idempotency_keys": 1}


async def test_a_host_that_failed_is_forgotten_after_a_day(database: Database, settings) -> None:
    async with database.transaction() as session:
        for hours in (23, 25):
            await session.execute(
                text(
                    "INSERT INTO outgoing_circuits (host, failures, open_until, failed_at)"
                    " VALUES (:host, 1, now(), now() - make_interval(hours => :hours))"
                ),
                {"host": f"h{hours}:443", "hours": hours},
            )
    assert await clean(database, settings) == {"outgoing_circuits": 1}


async def test_the_trash_is_emptied_after_its_retention_and_subtasks_go_with_their_parents(
    client, sign_up, app
) -> None:
    ann = await sign_up()
    parent = (await client.post("/tasks", json={"title": "old"}, headers=ann.headers)).json()["id"]
    await client.post("/tasks", json={"title": "part", "parent_id": parent}, headers=ann.headers)
    kept = (await client.post("/tasks", json={"title": "kept"}, headers=ann.headers)).json()["id"]
    await client.post("/tasks", json={"title": "live"}, headers=ann.headers)
    for task_id in (parent, kept):
        assert (await client.delete(f"/tasks/{task_id}", headers=ann.headers)).status_code == 204
    settings, database = app.state.settings, app.state.database
    async with database.transaction() as session:
        await session.execute(
            text(
                "UPDATE tasks SET deleted_at = now() - make_interval(days => :days) WHERE deleted_at IS NOT NULL AND id <> :kept"
            ),
            {"days": settings.trash_retention_days + 1, "kept": kept},
        )
    assert (await clean(database, settings))["tasks"] == 2
    async with database.session() as session:
        assert set(await session.scalars(text("SELECT title FROM tasks"))) == {"kept", "live"}
