"""What the probes of containers ask of workers and beats."""

from __future__ import annotations

import socket

import asyncpg
import pytest

from app.core.beat import DatabaseScheduler
from app.core.celery_app import TaskApi
from app.health.stuck import beat_fault, worker_fault
from app.infra.database import Database
from app.infra.settings import Settings
from app.worker import enqueue
from app.worker.line import Line
from app.worker.presence import Presence, leave
from app.worker.proof import ProbeArgs

NOT_SEEN = "no worker of this host has been seen"
NO_BEAT = "no beat of this host has looked for slots"


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


async def test_the_beats_of_a_host_are_stuck_when_none_of_them_looks_for_slots(connection, settings: Settings) -> None:
    assert await beat_fault(connection) == NO_BEAT
    line = Line(settings, "test")
    await Presence("here/2-b", "beat", 2, [], [], 0).report(line, None)
    assert await beat_fault(connection) is None
    await connection.execute("UPDATE processes SET host = 'elsewhere'")
    assert await beat_fault(connection) == NO_BEAT
    await connection.execute("UPDATE processes SET host = $1, seen_at = now() - interval '61 s'", socket.gethostname())
    assert await beat_fault(connection) == NO_BEAT
    line.close()


async def test_a_slot_that_no_beat_of_this_release_can_handle_does_not_make_them_stuck(
    connection, settings: Settings
) -> None:
    beat = DatabaseScheduler(TaskApi(settings), lazy=True)
    beat._loop.close()
    await beat._tick()  # which removes built-in schedules that it does not know
    for kind, zone in (("of.tomorrow", "UTC"), ("health.probe", "Nowhere/Land")):
        await connection.execute(
            "INSERT INTO schedules (id, name, kind, args, cron, time_zone, next_slot, built_in)"
            " VALUES (gen_random_uuid(), $1, $1, '{}', '0 * * * *', $2, now() - interval '1 hour', true)",
            kind,
            zone,
        )
    await beat._tick()
    assert await connection.fetchval("SELECT count(*) FROM schedules WHERE next_slot < now()") == 2
    assert await beat_fault(connection) is None
    beat._line.close()
