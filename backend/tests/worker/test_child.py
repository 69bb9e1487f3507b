from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from job_kinds import ODD_ERRORS, ODD_RESULTS, BigArgs, EchoArgs, FailArgs, GateArgs, LostArgs, NextArgs, OddArgs
from pydantic import PostgresDsn
from sqlalchemy import text

from app.infra.database import Database
from app.infra.settings import Settings
from app.kit.clock import utc_now
from app.models import Workspace
from app.worker import kinds, repository
from app.worker.attempt import Stop
from app.worker.child import Child
from tests.proxy import proxy_to


async def run(child: Child, queue: str = "default") -> int:
    return await asyncio.to_thread(child.run_next, queue)


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


async def test_args_that_do_not_fit_are_a_permanent_error(child, add, look, database) -> None:
    job_id = await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET args = '{\"nothing\": 1}'"))
    await run(child)
    job = await look(job_id)
    assert (job.state, job.errors[0]["code"]) == ("discarded", "args_invalid")


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


async def test_a_permanent_error_discards_with_its_code_and_result(child, add, look) -> None:
    job_id = await add(FailArgs(how="permanent"))
    await run(child)
    job = await look(job_id)
    assert (job.state, job.result) == ("discarded", {"tasks": 0})
    assert [(error["attempt"], error["code"], error["message"]) for error in job.errors] == [
        (1, "no_such_thing", "There is none")
    ]


async def test_a_retry_waits_as_long_as_it_was_told_to(child, add, look) -> None:
    job_id = await add(FailArgs(how="retry"))
    await run(child)
    job = await look(job_id)
    assert (job.state, job.errors[0]["code"]) == ("scheduled", "busy")
    assert timedelta(minutes=29) < job.run_at - utc_now() < timedelta(minutes=31)


async def test_what_could_not_be_tried_is_no_attempt(child, add, look, database) -> None:
    job_id = await add(FailArgs(how="not tried"))
    for _ in range(FailArgs.max_attempts + 1):
        async with database.transaction() as session:
            await session.execute(text("UPDATE jobs SET state = 'available', run_at = now()"))
        assert await run(child)
    job = await look(job_id)
    assert (job.state, job.attempt, job.errors) == ("scheduled", 0, [])
    assert timedelta(seconds=50) < job.run_at - utc_now() <= timedelta(seconds=60)


async def test_an_unexpected_error_is_retried_within_its_backoff_and_does_not_show_its_text(child, add, look) -> None:
    job_id = await add(FailArgs(how="unexpected"))
    await run(child)
    job = await look(job_id)
    assert job.state == "scheduled"
    assert job.run_at - utc_now() <= timedelta(seconds=60)
    assert (job.errors[0]["code"], job.errors[0]["message"]) == ("unexpected_error", "RuntimeError")


async def test_the_last_attempt_discards(child, add, look, database) -> None:
    job_id = await add(FailArgs(how="unexpected"))
    for _ in range(3):
        async with database.transaction() as session:
            await session.execute(text("UPDATE jobs SET state = 'available', run_at = now()"))
        assert await run(child)
    job = await look(job_id)
    assert (job.state, job.attempt, len(job.errors)) == ("discarded", 3, 3)


async def test_a_result_over_64_kb_discards(child, add, look) -> None:
    job_id = await add(BigArgs(size=65_536))
    await run(child)
    job = await look(job_id)
    assert (job.state, job.errors[0]["code"], job.result) == ("discarded", "result_too_large", None)


@pytest.mark.parametrize("how", ODD_RESULTS)
async def test_a_result_that_cannot_be_stored_ends_the_job_and_says_so(child, add, look, how: str) -> None:
    job_id = await add(OddArgs(how=how))
    await run(child)
    job = await look(job_id)
    assert (job.state, job.result, job.errors[0]["code"]) == ("discarded", None, "result_invalid")


@pytest.mark.parametrize("how", ODD_ERRORS)
async def test_whatever_a_handler_raises_there_is_another_attempt(child, add, look, how: str) -> None:
    job_id = await add(OddArgs(how=how))
    await run(child)
    job = await look(job_id)
    assert (job.state, len(job.errors)) == ("scheduled", 1)
    assert job.run_at - utc_now() <= timedelta(days=366)


async def test_a_plain_handler_that_takes_the_next_of_nothing_has_failed(child, add, look) -> None:
    job_id = await add(NextArgs())
    await run(child)
    job = await look(job_id)
    assert (job.state, job.errors[0]["message"]) == ("scheduled", "RuntimeError")


async def test_an_attempt_whose_lease_was_taken_writes_nothing(child, add, look, database, gate) -> None:
    job_id = await add(GateArgs())
    running = asyncio.create_task(run(child, "slow"))
    await gate.started()
    async with database.transaction() as session:  # another worker has it now
        await session.execute(text("UPDATE jobs SET lease_token = :token, worker = 'other'"), {"token": uuid4()})
    await gate.open()
    await running
    job = await look(job_id)
    assert (job.state, job.worker, job.result) == ("running", "other", None)
    async with database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM job_effects")) == 0


async def test_an_effect_counts_once_over_all_attempts(child, add, look, database, gate) -> None:
    job_id = await add(GateArgs())
    for expected in (True, False):
        await gate.open()
        await run(child, "slow")
        assert (await look(job_id)).result["first"] is expected
        async with database.transaction() as session:
            await session.execute(text("UPDATE jobs SET state = 'available'"))


async def test_cancelling_a_running_job_asks_it_to_stop(add, look, database, gate, settings) -> None:
    child = Child(settings.model_copy(update={"job_heartbeat_seconds": 0.1}), "test", lambda: None)
    job_id = await add(GateArgs())
    running = asyncio.create_task(run(child, "slow"))
    await gate.started()
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET cancel_requested_at = now()"))
    await running
    assert (await look(job_id)).state == "cancelled"
    await asyncio.to_thread(child.close)


async def test_the_heartbeat_keeps_the_lease_while_the_work_goes_on(add, look, gate, settings) -> None:
    brief = settings.model_copy(update={"job_lease_seconds": 1.0, "job_heartbeat_seconds": 0.1})
    child = Child(brief, "test", lambda: None)
    job_id = await add(GateArgs())
    running = asyncio.create_task(run(child, "slow"))
    await gate.started()
    first = (await look(job_id)).lease_until
    while (await look(job_id)).lease_until <= first:
        await asyncio.sleep(0.02)
    await gate.open()
    await running
    assert (await look(job_id)).state == "completed"
    await asyncio.to_thread(child.close)


async def test_without_a_database_to_renew_it_the_attempt_ends_with_its_lease(add, look, gate, settings) -> None:
    brief = settings.model_copy(update={"job_lease_seconds": 0.6, "job_heartbeat_seconds": 0.2})
    child = Child(brief, "test", lambda: None)
    child._heartbeat._line._url = "postgresql://127.0.0.1:1/none"
    job_id = await add(GateArgs())
    running = asyncio.create_task(run(child, "slow"))
    await gate.started()
    await running  # nobody opened the gate
    assert (await look(job_id)).state == "running"
    await asyncio.to_thread(child.close)


async def test_a_job_is_given_back_at_shutdown_without_an_attempt_counted(add, look, gate, settings) -> None:
    shutdown = threading.Event()
    brief = settings.model_copy(update={"job_heartbeat_seconds": 0.1})
    child = Child(brief, "test", lambda: 0.0 if shutdown.is_set() else None)
    job_id = await add(GateArgs())
    running = asyncio.create_task(run(child, "slow"))
    await gate.started()
    shutdown.set()
    await running
    job = await look(job_id)
    assert (job.state, job.attempt, job.errors) == ("available", 0, [])
    assert not await run(child, "slow")
    await asyncio.to_thread(child.close)


async def test_an_attempt_over_its_time_is_stopped_and_retried(add, look, gate, settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(GateArgs, "timeout", 0.2)
    child = Child(settings.model_copy(update={"job_heartbeat_seconds": 0.1}), "test", lambda: None)
    job_id = await add(GateArgs())
    await run(child, "slow")
    job = await look(job_id)
    assert (job.state, job.errors[0]["code"]) == ("scheduled", "timeout")
    await asyncio.to_thread(child.close)


async def test_a_running_job_past_its_deadline_is_discarded(add, look, gate, settings) -> None:
    child = Child(settings.model_copy(update={"job_heartbeat_seconds": 0.1}), "test", lambda: None)
    job_id = await add(GateArgs(), deadline_at=utc_now() + timedelta(seconds=1))
    await run(child, "slow")
    job = await look(job_id)
    assert (job.state, job.errors[0]["code"]) == ("discarded", "deadline_exceeded")
    await asyncio.to_thread(child.close)


async def test_a_child_lives_through_the_loss_of_its_connections(child, add, look, database) -> None:
    await add(EchoArgs())
    await run(child)
    async with database.transaction() as session:
        await session.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'taskapi-worker'")
        )
    job_id = await add(EchoArgs())
    while not await run(child):
        pass
    assert (await look(job_id)).state == "completed"


async def test_a_process_that_is_at_another_job_by_now_is_not_ended(
    add, look, gate, settings, monkeypatch: Any
) -> None:
    monkeypatch.setattr("app.worker.heartbeat.RELEASE_GRACE", 0)
    child = Child(settings.model_copy(update={"job_heartbeat_seconds": 0.1}), "test", lambda: None, turn=0)
    job_id = await add(GateArgs())
    running = asyncio.create_task(run(child, "slow"))
    await gate.started()
    heartbeat, asked, killed = child._heartbeat, threading.Event(), []
    attempt, fetch = heartbeat.attempt, heartbeat._line.fetch
    assert attempt is not None

    async def answered_late(statement: Any, params: Any) -> list[Any]:
        rows = await fetch(statement, params)
        if statement is repository.RELEASE:
            asked.set()
            while heartbeat.attempt is attempt:
                await asyncio.sleep(0.01)
        return list(rows)

    monkeypatch.setattr(heartbeat._line, "fetch", answered_late)
    monkeypatch.setattr(os, "kill", lambda *said: killed.append(said))
    attempt.stop = Stop.released  # and its handler does not hear of it
    await asyncio.to_thread(asked.wait)
    await gate.open()
    await running
    await asyncio.to_thread(child.close)
    assert killed == []
    assert (await look(job_id)).state == "available"


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


async def test_connections_that_the_network_lost_without_a_word_keep_no_job(add, look, gate, settings) -> None:
    server = urlsplit(str(settings.database_url))
    async with proxy_to(server.hostname or "", server.port or 5432) as proxy:
        through = str(settings.database_url).replace(f":{server.port}/", f":{proxy.port}/")
        changes = {"database_url": PostgresDsn(through), "database_statement_timeout": 0.5}
        child = Child(settings.model_copy(update=changes), "test", lambda: None)
        job_id = await add(GateArgs())
        running = asyncio.create_task(run(child, "slow"))
        await gate.started()
        proxy.black_hole()
        await gate.open()
        await running
        job = await look(job_id)  # the handler's transaction has failed, and that could be written down
        assert (job.state, job.errors[0]["message"]) == ("scheduled", "TimeoutError")
        await asyncio.to_thread(child.close)
