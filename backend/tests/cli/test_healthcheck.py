"""What containers are asked, and what a deployment asks before it goes on."""

from __future__ import annotations

import asyncio
import socket

import pytest
from sqlalchemy import text

from app.infra.database import Database
from app.infra.settings import Settings
from app.worker.line import Line
from app.worker.proof import prove_beat, prove_queues
from app.worker.testing import run_jobs_until_idle
from tests.processes import running


@pytest.fixture
def happen(database: Database):
    async def happen(sql: str) -> None:
        async with database.transaction() as session:
            await session.execute(text(sql))

    return happen


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


async def answer(**environment: str) -> tuple[int, str]:
    async with running(["app.cli", "healthcheck"], environment) as process:
        return await process.exit_code(), " ".join(process.lines)


async def test_an_api_is_healthy_once_it_is_ready(database_url: str, redis_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": free_port()}
    code, said = await answer(**environment)
    assert code == 1
    assert "does not answer" in said
    async with running(["app.cli", "serve"], environment) as api:
        await api.event("started")
        code, said = await answer(**environment)
    assert code == 0
    assert '"status":"ready"' in said


async def test_the_role_of_the_container_decides_what_is_asked(settings: Settings) -> None:
    code, said = await answer(PROCESS_ROLE="worker", DATABASE_URL=str(settings.database_url))
    assert code == 1
    assert said == "worker: no worker of this host has been seen"
    code, said = await answer(PROCESS_ROLE="beat", DATABASE_URL=str(settings.database_url))
    assert (code, said) == (1, "beat: no beat of this host has looked for slots")


async def test_a_database_that_is_away_is_no_reason_to_restart() -> None:
    code, said = await answer(PROCESS_ROLE="worker", DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert code == 0
    assert said.startswith("worker: not known, the database does not answer")


@pytest.mark.parametrize("role", ["worker", "beat"])
async def test_a_check_imports_next_to_nothing_for_it_is_run_every_few_seconds(settings: Settings, role: str) -> None:
    environment = {"PYTHONPROFILEIMPORTTIME": "1", "DATABASE_URL": str(settings.database_url)}
    async with running(["app.cli", role, "--check"], environment) as process:
        assert await process.exit_code() == 1
        imported = {line.rpartition("|")[2].strip() for line in process.lines}
    assert "asyncpg" in imported
    assert not imported & {"sqlalchemy", "app.worker", "app.models", "celery", "redis", "structlog"}


async def test_queues_are_proven_by_probes_that_end(database: Database, settings: Settings) -> None:
    assert not await prove_queues(database, ["urgent", "slow"], within=0)
    proof = asyncio.create_task(prove_queues(database, ["urgent", "slow"], within=20))
    while not proof.done():
        await run_jobs_until_idle(settings)
    assert await proof


async def test_a_paused_queue_is_not_asked_for_proof(database: Database, happen) -> None:
    await happen("INSERT INTO paused_queues (queue) VALUES ('slow')")
    assert await prove_queues(database, ["slow"], within=0)


async def test_a_beat_is_proven_by_a_slot_that_it_handles_from_now_on(settings: Settings, happen) -> None:
    line = Line(settings, "test")
    try:
        await happen(
            "INSERT INTO schedules (id, name, kind, args, interval_seconds, next_slot, built_in)"
            " VALUES (gen_random_uuid(), 'x', 'health.probe', '{}', 15, now(), true)"
        )
        run = "INSERT INTO schedule_runs (schedule_id, slot, outcome) SELECT id, {}, 'enqueued' FROM schedules"
        await happen(run.format("now() - interval '1 s'"))
        assert not await prove_beat(line, within=0), "that was before"
        proof = asyncio.create_task(prove_beat(line, within=20))
        while not proof.done():
            await happen(run.format("clock_timestamp()"))
            await asyncio.sleep(0.1)
        assert await proof
    finally:
        line.close()
