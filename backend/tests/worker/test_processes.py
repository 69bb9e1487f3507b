"""Real workers, real signals. Each test waits for events; what it counts is the rows. More of them: tests/faults."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from job_kinds import EchoArgs, GateArgs, PlainArgs
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from app.infra.settings import Settings
from devstack.process import wait_until
from devstack.state import State
from devstack.valkey import ValkeyServer


async def test_sigterm_to_the_whole_group_loses_nothing(start, add, look, gate) -> None:
    worker = await start()
    job_id = await add(GateArgs())
    await gate.started()
    worker.signal_group(signal.SIGTERM)
    await worker.ended()
    job = await look(job_id)
    assert (job.state, job.attempt, job.deaths) == ("available", 0, 0)


async def test_a_signal_to_one_pool_process_ends_nothing_else(start, add, finished, gate) -> None:
    await start()
    job_id = await add(GateArgs())
    _, _, pid = await gate.started()
    gated = psutil.Process(pid)
    gated.terminate()
    gone, _ = psutil.wait_procs([gated], timeout=30)
    assert gone
    await gate.open()
    assert (await finished(job_id)).state == "completed"
    assert [(await finished(one)).state for one in [await add(EchoArgs()) for _ in range(3)]] == ["completed"] * 3


async def test_nothing_is_left_of_a_worker_that_was_killed(start, add, gate) -> None:
    worker = await start()
    await add(GateArgs())
    await gate.started()
    family = psutil.Process(worker.process.pid).children(recursive=True)
    assert len(family) == 3  # two pool processes and the reconciler
    worker.process.kill()
    psutil.wait_procs(family, timeout=30)
    assert not any(process.is_running() for process in family)


async def test_forged_and_garbled_messages_change_nothing(start, add, finished, settings: Settings) -> None:
    worker = await start()
    before = {process.pid for process in psutil.Process(worker.process.pid).children()}
    forged: list[Any] = [
        b"\xff\x00 not json", "[1, 2]", '"text"', "null", "{}", "[" * 5000, '{"body": 7, "headers": {"task": "os.system"}}',
        '{"headers": {"task": "run_next", "id": "x", "timelimit": [0.01, 0.01], "eta": "2999-01-01T00:00:00Z"}, "body": "W10="}',
    ]  # fmt: skip
    async with Redis.from_url(str(settings.redis_url)) as redis:
        for item in forged * 3:
            await redis.lpush(f"{settings.redis_key_prefix}default", item)
        await redis.set(f"{settings.redis_key_prefix}urgent", "not even a list")
    job_id = await add(EchoArgs(text="still here"))
    job = await finished(job_id)
    assert (job.state, job.attempt) == ("completed", 1)
    assert before == {process.pid for process in psutil.Process(worker.process.pid).children()}, "".join(worker.log)


async def test_a_plain_handler_over_its_time_is_ended_with_its_process(start, add, finished) -> None:
    await start()
    endless = await finished(await add(PlainArgs(seconds=600)))
    assert (endless.state, [error["code"] for error in endless.errors]) == ("discarded", ["timeout"])
    assert (await finished(await add(PlainArgs(seconds=0.1)))).state == "completed"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A Redis of this test's own, to kill; it keeps nothing."""
    state = State(tmp_path / "state")
    (tmp_path / "state").mkdir(exist_ok=True)
    server = ValkeyServer(state, durable=False)
    server.start_on_free_port()
    yield server
    server.stop(10)


def kill(server: ValkeyServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.running, 10)


async def test_jobs_run_through_deaths_of_redis_that_forget_everything(
    start, add, finished, own_redis: ValkeyServer
) -> None:
    await start(REDIS_URL=own_redis.url)
    jobs = [await add(EchoArgs())]
    await finished(jobs[0])
    for _ in range(3):
        kill(own_redis)
        jobs += [await add(EchoArgs()) for _ in range(5)]
        await asyncio.to_thread(own_redis.start)
        began = time.monotonic()
        assert {(await finished(job_id)).state for job_id in jobs} == {"completed"}
        print(f"done {time.monotonic() - began:.1f} s after its return")


async def test_a_worker_needs_no_redis_to_start_to_work_and_to_end(
    start, add, finished, own_redis: ValkeyServer
) -> None:
    kill(own_redis)
    worker = await start(REDIS_URL=own_redis.url)
    jobs = [await finished(job_id) for job_id in [await add(EchoArgs()) for _ in range(10)]]
    assert {(job.state, job.attempt) for job in jobs} == {("completed", 1)}
    worker.process.terminate()
    assert await worker.ended() == 0


async def test_a_redis_that_is_full_holds_up_no_job(start, add, finished, own_redis: ValkeyServer) -> None:
    async with Redis.from_url(own_redis.url) as redis:
        await redis.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            await redis.lpush("default", "{}")
    await start(REDIS_URL=own_redis.url)
    jobs = [await finished(job_id) for job_id in [await add(EchoArgs()) for _ in range(10)]]
    assert {(job.state, job.attempt) for job in jobs} == {("completed", 1)}


async def test_what_is_no_redis_at_its_address_holds_up_no_job(start, add, finished) -> None:
    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(b"+OK\r\n")
        writer.close()

    async with await asyncio.start_server(agree, "127.0.0.1", 0) as server:
        worker = await start(REDIS_URL=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        jobs = [await finished(job_id) for job_id in [await add(EchoArgs()) for _ in range(3)]]
        assert {(job.state, job.attempt) for job in jobs} == {("completed", 1)}
        worker.process.terminate()
        assert await worker.ended() == 0
