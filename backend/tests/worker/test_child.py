from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from job_kinds import BigArgs, EchoArgs, FailArgs, GateArgs, LostArgs
from sqlalchemy import text
from turns import run

from app.infra.database import Database
from app.infra.settings import Settings
from app.kit.clock import utc_now
from app.models import Workspace
from app.worker import kinds, repository
from app.worker.child import Child


async def test_a_job_runs_and_keeps_its_result(child, add, look) -> None:
    job_id = await add(EchoArgs(text="hello"))
    assert await run(child)
    job = await look(job_id)
    assert (job.state, job.attempt, job.result) == ("completed", 1, {"text": "hello", "attempt": 1})
    assert job.lease_token is None
    assert job.started_at <= job.finished_at


async def test_a_message_too_many_finds_nothing(child) -> None:
    assert not await run(child)


@pytest.fixture
async def patient(settings: Settings) -> AsyncIterator[Child]:
    """One whose turn does not end."""
    child = Child(settings, "test", lambda: None, turn=3600)
    yield child
    await asyncio.to_thread(child.close)


async def test_one_message_is_enough_for_all_jobs_of_its_queue(patient, add, look) -> None:
    other = await add(GateArgs())
    jobs = [await add(args) for args in (EchoArgs(), FailArgs(how="permanent"), EchoArgs(), BigArgs(size=65_536))]
    assert await run(patient) == 4
    assert [(await look(one)).state for one in jobs] == ["completed", "discarded", "completed", "discarded"]
    assert (await look(other)).state == "available"


async def test_the_job_that_ends_leaves_its_workspace_s_place_to_the_next(
    patient, add, look, database, settings
) -> None:
    async with database.transaction() as session:
        busy = Workspace(name="busy")
        session.add(busy)
    jobs = [await add(EchoArgs(), workspace_id=busy.id) for _ in range(settings.job_workspace_limit + 2)]
    async with database.transaction() as session:
        held = {"ids": jobs[: settings.job_workspace_limit - 1]}
        await session.execute(
            text(
                "UPDATE jobs SET state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h' WHERE id = ANY (:ids)"
            ),
            held,
        )
    assert await run(patient) == 3
    assert (await look(jobs[-1])).state == "completed"


async def test_a_job_lost_to_another_worker_does_not_end_the_turn(patient, add, look) -> None:
    lost, following = await add(LostArgs()), await add(EchoArgs())
    assert await run(patient) == 2
    assert [((await look(one)).state, (await look(one)).attempt) for one in (lost, following)] == [
        ("running", 1),
        ("completed", 1),
    ]


@pytest.mark.parametrize(
    "statement", [repository.CLAIM, repository.FINISH_AND_CLAIM], ids=["claim", "finish and claim"]
)
async def test_a_claim_whose_answer_was_lost_is_no_attempt(
    patient, add, look, monkeypatch: Any, statement: Any
) -> None:
    fetch, lost, away = patient._line.fetch, [], iter([True, True])

    async def deaf_once(asked: Any, params: Any) -> list[Any]:
        if asked is repository.RELEASE_UNHEARD and next(away, False):
            raise ConnectionResetError
        rows = await fetch(asked, params)
        if asked is statement and not lost:
            lost.append(rows)
            raise ConnectionResetError
        return list(rows)

    monkeypatch.setattr(patient._line, "fetch", deaf_once)
    jobs = [await add(EchoArgs()), await add(EchoArgs())]
    while (await look(jobs[1])).state != "completed":
        assert await run(patient) or lost
    found = [await look(one) for one in jobs]
    assert [(job.state, job.attempt, job.errors) for job in found] == [("completed", 1, [])] * 2


async def test_a_worker_that_shuts_down_ends_its_job_and_takes_no_other(add, look, gate, settings) -> None:
    shutdown = threading.Event()
    child = Child(settings, "test", lambda: time.monotonic() + 3600 if shutdown.is_set() else None, turn=3600)
    jobs = [await add(GateArgs()) for _ in range(2)]
    running = asyncio.create_task(run(child, "slow"))
    await gate.started()
    shutdown.set()
    await gate.open()
    assert await running == 1
    assert [(await look(one)).state for one in jobs] == ["completed", "available"]
    await asyncio.to_thread(child.close)


async def test_a_kind_that_this_release_does_not_know_stays_available(child, add, look, database) -> None:
    unknown, newer = await add(EchoArgs()), await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET kind = 'other.thing' WHERE id = :id"), {"id": unknown})
        await session.execute(text("UPDATE jobs SET args_version = 3 WHERE id = :id"), {"id": newer})
    assert not await run(child)
    assert {(await look(one)).state for one in (unknown, newer)} == {"available"}


async def test_args_of_an_older_version_are_read(child, add, look, database) -> None:
    job_id = await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text('UPDATE jobs SET args_version = 1, args = \'{"words": "old"}\''))
    await run(child)
    assert (await look(job_id)).result["text"] == "old"


async def test_the_most_urgent_job_is_taken_first_and_among_equals_the_oldest(child, add, look) -> None:
    late = await add(EchoArgs(), priority=9)
    first = await add(EchoArgs())
    second = await add(EchoArgs())
    urgent = await add(EchoArgs(), priority=0)
    order = []
    for _ in range(4):
        await run(child)
        order += [
            one for one in (late, first, second, urgent) if (await look(one)).state == "completed" and one not in order
        ]
    assert order == [urgent, first, second, late]


async def test_a_workspace_at_its_limit_does_not_hold_up_another(
    child, add, look, database: Database, settings
) -> None:
    async with database.transaction() as session:
        busy, idle = Workspace(name="busy"), Workspace(name="idle")
        session.add_all([busy, idle])
    for _ in range(settings.job_workspace_limit + 1):
        waiting = await add(EchoArgs(), workspace_id=busy.id, priority=0)
    async with database.transaction() as session:
        await session.execute(
            text(
                "UPDATE jobs SET state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h' WHERE id <> :id"
            ),
            {"id": waiting},
        )
    other = await add(EchoArgs(), workspace_id=idle.id)
    assert await run(child)
    assert not await run(child)
    assert ((await look(other)).state, (await look(waiting)).state) == ("completed", "available")


async def test_cancelled_and_overdue_jobs_are_not_taken(child, add, database) -> None:
    await add(EchoArgs(), deadline_at=utc_now() - timedelta(seconds=1))
    cancelled = await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET cancel_requested_at = now() WHERE id = :id"), {"id": cancelled})
    assert not await run(child)


async def test_a_claim_does_not_read_the_whole_backlog(child, add, database) -> None:
    async with database.transaction() as session:
        session.add(workspace := Workspace(name="large"))
    await add(EchoArgs(), workspace_id=workspace.id)
    columns = "kind, queue, args_version, args, state, max_attempts, workspace_id"
    async with database.transaction() as session:
        many = f"SELECT gen_random_uuid(), {columns} FROM jobs, generate_series(1, 10000)"
        await session.execute(text(f"INSERT INTO jobs (id, {columns}) {many}"))
        await session.execute(text("ANALYZE jobs"))
    await run(child)  # opens the connection
    params = {"queue": "default", "known": kinds.known(), "workspace_limit": 4, "lease": 30.0, "worker": "w"}
    connection = child._line._connection

    async def plan() -> str:
        rows = await connection.fetch(f"EXPLAIN {repository.CLAIM.sql}", *repository.CLAIM.arguments(params))
        return "\n".join(row[0] for row in rows)

    found = child._loop.run_until_complete
    text_of_plan = await asyncio.to_thread(found, plan())
    assert "ix_jobs_claim" in text_of_plan
    assert "Sort Key: jobs_2.priority" not in text_of_plan, text_of_plan
