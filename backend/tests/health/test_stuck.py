"""What the probes of containers ask of workers and beats."""

from __future__ import annotations

import asyncpg
import pytest

from app.health.stuck import beat_fault, worker_fault
from app.infra.database import Database
from app.infra.settings import Settings
from app.worker import enqueue
from app.worker.line import Line
from app.worker.presence import Presence, leave
from app.worker.proof import ProbeArgs

NOT_SEEN = "no worker of this host has been seen"


@pytest.fixture
async def connection(settings: Settings):
    connection = await asyncpg.connect(settings.driver_url)
    yield connection
    connection.terminate()


@pytest.fixture
async def worker(settings: Settings):
    """A worker of this host that has told of itself; its row goes with `leave`."""
    line = Line(settings, "test")
    await Presence("here/1-a", "worker", 1, ["default"], ["health.probe@1"], 2).report(line, None)
    yield line
    line.close()


async def test_without_a_worker_that_shows_itself_something_is_wrong(connection, worker) -> None:
    assert await worker_fault(connection) is None
    await connection.execute("UPDATE processes SET seen_at = now() - interval '2 minutes'")
    assert await worker_fault(connection) == NOT_SEEN
    await leave(worker, "here/1-a")
    assert await worker_fault(connection) == NOT_SEEN


async def test_a_worker_is_stuck_when_jobs_wait_and_it_begins_none(connection, worker, database: Database) -> None:
    async with database.transaction() as session:
        job_id = (await enqueue(session, ProbeArgs())).id
        await enqueue(session, ProbeArgs())
    assert await worker_fault(connection) is None  # all are new
    await connection.execute("UPDATE processes SET started_at = now() - interval '2 minutes'")
    assert await worker_fault(connection) is None  # the jobs are
    await connection.execute("UPDATE jobs SET run_at = now() - interval '2 minutes'")
    assert await worker_fault(connection) == "jobs wait, and nothing begins: here/1-a"
    for excuse, undone in (
        ("UPDATE processes SET worked_at = now()", "UPDATE processes SET worked_at = NULL"),
        ("UPDATE jobs SET kind = 'other.kind'", "UPDATE jobs SET kind = 'health.probe'"),
        ("UPDATE jobs SET queue = 'slow'", "UPDATE jobs SET queue = 'default'"),
        ("INSERT INTO paused_queues (queue) VALUES ('default')", "DELETE FROM paused_queues"),
    ):
        await connection.execute(excuse)
        assert await worker_fault(connection) is None, excuse
        await connection.execute(undone)
        assert await worker_fault(connection) is not None, undone
    held = "state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h', worker = 'here/1-a/7'"
    await connection.execute(f"UPDATE jobs SET {held} WHERE id = $1", job_id)
    assert await worker_fault(connection) is None  # a slot is busy


async def test_the_beats_are_stuck_when_a_slot_is_a_minute_over_its_time(connection, database_url: str) -> None:
    assert await beat_fault(connection) is None
    await connection.execute(
        "INSERT INTO schedules (id, name, kind, args, interval_seconds, next_slot, built_in)"
        " VALUES (gen_random_uuid(), 'x', 'health.probe', '{}', 15, now() - interval '59 s', true)"
    )
    assert await beat_fault(connection) is None
    await connection.execute("UPDATE schedules SET next_slot = now() - interval '90 s'")
    assert await beat_fault(connection) == "a slot is 90 s over its time"
    await connection.execute("UPDATE schedules SET paused_at = now()")
    assert await beat_fault(connection) is None
