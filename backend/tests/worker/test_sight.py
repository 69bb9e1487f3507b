"""What a worker and a beat show of themselves: figures, and a row."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from logging import DEBUG, WARNING

import httpx2
import pytest
from job_kinds import EchoArgs, GateArgs
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from app.infra import log_level, profiling
from app.infra.settings import Settings
from app.infra.statements import Statement
from app.worker import enqueue
from app.worker.line import Line
from app.worker.metrics import WorkerMetrics
from app.worker.presence import Presence
from app.worker.reconciler import Duty
from app.worker.sight import Channel, read_facts
from tests.processes import BACKEND

_PROCESSES = Statement(text("SELECT * FROM processes"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def samples(port: int) -> dict[tuple[str, ...], float]:
    """Every figure by its name and the values of its labels."""
    async with httpx2.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


@pytest.fixture
def line(settings: Settings):
    line = Line(settings, "test")
    yield line
    line.close()


@pytest.fixture
def happen(database):
    async def happen(sql: str) -> None:
        async with database.transaction() as session:
            await session.execute(text(sql))

    return happen


def test_nobody_waits_for_a_reader_that_does_not_read() -> None:
    channel = Channel()
    for number in range(10_000):
        channel.tell("surplus", queue=str(number))
    facts = list(read_facts(channel.far))
    assert [fact["queue"] for fact in facts] == [str(number) for number in range(len(facts))]
    assert 0 < len(facts) < 10_000
    channel.close()


def test_facts_become_figures() -> None:
    metrics = WorkerMetrics(os.getpid(), Settings())
    assert metrics.seconds_since_work is None
    for fact in (
        {"fact": "began", "kind": "a.b", "queue": "slow", "latency": 0.2},
        {"fact": "began", "kind": "a.b", "queue": "slow", "latency": None},
        {"fact": "ended", "kind": "a.b", "state": "completed", "seconds": 2.0},
        {"fact": "ended", "kind": "a.b", "state": "scheduled", "seconds": 1.0},
        {"fact": "ended", "kind": "a.b", "state": None, "seconds": 1.0},
        {"fact": "surplus", "queue": "slow"},
        {"fact": "foreign"},
        {"fact": "of a later release"},
    ):
        metrics.take(fact)
    value = metrics.registry.get_sample_value
    assert value("taskapi_job_attempts_total", {"kind": "a.b"}) == 2
    assert value("taskapi_job_start_latency_seconds_count", {"queue": "slow"}) == 1
    assert value("taskapi_job_duration_seconds_sum", {"kind": "a.b"}) == 4
    for outcome in ("completed", "retried", "lease_lost"):
        assert value("taskapi_job_attempts_ended_total", {"kind": "a.b", "outcome": outcome}) == 1
    assert value("taskapi_messages_surplus_total", {"queue": "slow"}) == 1
    assert value("taskapi_messages_foreign_total") == 1
    assert value("taskapi_worker_memory_bytes") > 1_000_000
    assert metrics.seconds_since_work is not None


async def test_a_worker_shows_the_figures_of_all_its_pool_processes_dead_ones_too(
    start, add, finished, gate, line
) -> None:
    port = free_port()
    worker = await start(METRICS_PORT=str(port), JOB_LEASE_SECONDS="600", JOB_HEARTBEAT_SECONDS="1")
    jobs = [await add(GateArgs()), await add(GateArgs())]
    pids = {(await gate.started())[2] for _ in jobs}
    os.kill(pids.pop(), signal.SIGKILL)
    await gate.started()
    for _ in jobs:
        await gate.open()
    for job_id in jobs:
        await finished(job_id)
    while (found := await samples(port)).get(("taskapi_job_attempts_ended_total", "test.gate", "completed")) != 2:
        await asyncio.sleep(0.05)
    assert found["taskapi_job_attempts_total", "test.gate"] == 3
    assert found["taskapi_jobs_rescued_total", "worker_died"] == 1
    assert found["taskapi_worker_slots",] == 2
    (row,) = await line.fetch(_PROCESSES, {})
    assert (row["role"], row["pid"], row["slots"]) == ("worker", worker.process.pid, 2)
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ended() == 0
    assert await line.fetch(_PROCESSES, {}) == []


async def test_a_workers_pool_processes_follow_another_log_level(start, broker, settings: Settings) -> None:
    worker = await start()
    change = log_level.Change("DEBUG", "ada", time.time() + 60)
    broker._redis.set(log_level.key(settings), log_level.encode(change))
    async with asyncio.timeout(30):
        while not any("token_surplus" in line for line in worker.log):
            broker.send({"default": 1})
            await asyncio.sleep(0.2)
    assert any("log_level_changed" in line for line in worker.log)


async def test_a_pool_process_can_be_profiled_while_it_works(start, add, finished, gate) -> None:
    await start(TMPDIR=tempfile.gettempdir())
    job_id = await add(GateArgs())
    _, _, pid = await gate.started()
    seen = await asyncio.to_thread(profiling.record, pid, 0.3)
    await gate.open()
    assert (await finished(job_id)).state == "completed"
    assert any(stack.startswith(b"MainThread;") and b";app.worker.child.Child.run_next;" in stack for stack in seen)


async def test_a_reconciler_that_starts_ends_a_level_whose_time_its_forerunner_cannot_tell_any_more() -> None:
    with tempfile.TemporaryFile() as level:
        level.write(bytes([DEBUG // 10]))
        level.flush()
        duty = Duty("here/1-a", os.getpid(), ["default"], [], level=level.fileno())
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "app.worker.reconciler", duty.as_argument()],
            stdin=asyncio.subprocess.PIPE,
            env=os.environ | {"LOG_LEVEL": "WARNING"},
            pass_fds=[level.fileno()],
        )
        await process.communicate(b"")
        assert process.returncode == 0
        level.seek(0)
        assert level.read() == bytes([WARNING // 10])


async def test_a_reconciler_ends_with_its_worker_though_it_waits_for_redis(settings: Settings) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    silent.setblocking(False)
    host, port = silent.getsockname()
    duty = Duty("here/1-a", os.getpid(), ["default"], [])
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "app.worker.reconciler", duty.as_argument()],
        stdin=asyncio.subprocess.PIPE,
        cwd=BACKEND,
        env=os.environ
        | {"DATABASE_URL": str(settings.database_url), "REDIS_URL": f"redis://{host}:{port}", "REDIS_TIMEOUT": "60"},
    )
    asked, _ = await asyncio.get_running_loop().sock_accept(silent)
    with silent, asked:
        async with asyncio.timeout(30):
            await process.communicate(b"")
    assert process.returncode == 0


async def test_the_api_shows_the_queues_and_what_is_parked(client, settings: Settings, app, line, happen) -> None:
    async with app.state.database.transaction() as session:
        await enqueue(session, EchoArgs())
        await enqueue(session, EchoArgs())
        await enqueue(session, GateArgs())
    await Presence("here/1-a", "worker", 1, ["default"], ["test.echo@2"], 2).report(line, None)
    await happen("UPDATE jobs SET run_at = now() - interval '5 s'")
    await app.state.figures.refresh()
    value = app.state.metrics.registry.get_sample_value
    assert value("taskapi_jobs_waiting", {"queue": "default"}) == 2
    assert value("taskapi_jobs_parked", {"queue": "default"}) == 0
    assert value("taskapi_jobs_parked", {"queue": "slow"}) == 1
    assert 5 <= value("taskapi_jobs_oldest_waiting_seconds", {"queue": "slow"}) < 60
    assert value("taskapi_jobs_waiting", {"queue": "email"}) == 0
    assert value("taskapi_breaker_open", {"part": "relay"}) == 0
