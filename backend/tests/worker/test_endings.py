from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from job_kinds import ODD_ERRORS, ODD_RESULTS, BigArgs, EchoArgs, FailArgs, GateArgs, NextArgs, OddArgs
from sqlalchemy import text
from turns import run

from app.kit.clock import utc_now
from app.worker.child import Child


async def test_args_that_do_not_fit_are_a_permanent_error(child, add, look, database) -> None:
    job_id = await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET args = '{\"nothing\": 1}'"))
    await run(child)
    job = await look(job_id)
    assert (job.state, job.errors[0]["code"]) == ("discarded", "args_invalid")


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
