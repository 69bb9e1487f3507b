"""Trivial jobs through a real worker: how fast they are taken, how soon they start, how many are done a second."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import text

from app.infra.broker import Broker
from app.infra.database import Database
from app.infra.settings import Settings
from app.infra.work import Work
from app.worker import Relay, enqueue
from bench import rows
from bench.job_kinds import COUNT, LATENCIES, CountArgs, connection
from bench.measuring import product_environment
from devstack.process import Child, DevstackError
from devstack.supervisor import BACKEND

_WORKER = [
    sys.executable,
    "-P",
    "-m",
    "celery",
    "--quiet",
    "-A",
    "bench.worker_app",
    "worker",
    "--pool=prefork",
    "--concurrency=2",
]
_WITHOUT = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
_COMPLETED = text("SELECT count(*) FROM jobs WHERE state = 'completed' AND kind = 'bench.count'")
_PATIENCE = 300
"""Seconds to wait for the jobs of a round."""


@dataclass(frozen=True)
class Load:
    """`warm` jobs first; `low` jobs at `rate` a second for the latency; then `jobs`, as fast as one producer can."""

    warm: int = 20
    low: int = 100
    rate: float = 20.0
    jobs: int = 5000

    @classmethod
    def of_environment(cls) -> Load:
        """Of BENCH_WARM, BENCH_LOW, BENCH_RATE and BENCH_JOBS, by which another benchmark gives the load."""
        given = {name: os.environ.get(f"BENCH_{name.upper()}") for name in asdict(cls())}
        return cls(**{name: type(getattr(cls(), name))(value) for name, value in given.items() if value})


@dataclass(frozen=True)
class Result:
    enqueue_per_s: float
    done_per_s: float
    start_ms_p50: float
    start_ms_p99: float


async def run(database_url: str, redis_url: str, load: Load, say: Callable[[str], None]) -> Result:
    """One round, on a database and a Redis database that are the benchmark's own."""
    await rows.load(database_url, users=0, per_user=0, say=say)
    environment = product_environment(database_url, redis_url, 1) | {"LOG_LEVEL": "WARNING"}
    redis = connection(redis_url)
    redis.flushdb()
    with _worker(environment):
        settings = Settings(**{name.lower(): environment[name] for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")})
        async with _producer(settings) as (database, produce):

            async def counted() -> int:
                return int(redis.get(COUNT) or 0)

            async def completed() -> int:
                """A job is done when its row says so; asked for when the counter says that they all ran."""
                await _until(counted, load.warm + load.low + load.jobs)
                async with database.session() as session:
                    return int(await session.scalar(_COMPLETED) or 0)

            for _ in range(load.warm):
                await produce(None)
            await _until(counted, load.warm)
            for _ in range(load.low):
                await produce(time.time())
                await asyncio.sleep(1 / load.rate)
            await _until(counted, load.warm + load.low)
            say(f"{load.low} jobs at {load.rate:g} a second are done")
            began = time.monotonic()
            for _ in range(load.jobs):
                await produce(None)
            enqueued = time.monotonic()
            await _until(completed, load.warm + load.low + load.jobs)
            ended = time.monotonic()
    latencies = [float(one) for one in redis.lrange(LATENCIES, 0, -1)]
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return Result(load.jobs / (enqueued - began), load.jobs / (ended - began), cuts[49], cuts[98])


@contextlib.asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[tuple[Database, Callable[[float | None], Awaitable[None]]]]:
    """As the api does it for a request that writes nothing but a job: one statement, the message after its commit."""
    database, broker = Database(settings), Broker(settings)
    relay = Relay(database, broker)

    async def produce(sent: float | None) -> None:
        work = Work(database)
        await enqueue(work, CountArgs(sent=sent))
        await work.end(commit=True)

    await database.start()
    await relay.start()
    try:
        yield database, produce
    finally:
        await relay.stop()
        await database.stop()
        broker.close()


async def _until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    ends = time.monotonic() + _PATIENCE
    while (found := await count()) < wanted:
        if time.monotonic() > ends:
            raise DevstackError(f"{found} of {wanted} jobs were done within {_PATIENCE} s")
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def _worker(environment: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="taskapi-bench-") as directory:
        child = Child("worker", [*_WORKER, *_WITHOUT], cwd=BACKEND, env=environment)
        child.log = Path(directory) / "worker.log"
        child.start()
        try:
            yield
        except DevstackError:
            sys.stderr.write(child.log.read_text(errors="replace")[-4000:])
            raise
        finally:
            child.stop(20)
