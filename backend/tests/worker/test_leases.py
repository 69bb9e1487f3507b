from __future__ import annotations

import asyncio
import os
import threading
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from job_kinds import EchoArgs, GateArgs
from pydantic import PostgresDsn
from sqlalchemy import text
from turns import run

from app.worker import repository
from app.worker.attempt import Stop
from app.worker.child import Child
from tests.proxy import proxy_to


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
