from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import job_kinds  # noqa: F401  registers its kinds
import pytest
from real_workers import finished, start  # noqa: F401  fixtures
from redis.asyncio import Redis

from app.infra.broker import Broker
from app.infra.database import Database
from app.infra.settings import Settings
from app.models import Job
from app.worker import JobArgs, enqueue, kinds
from app.worker.child import Child
from app.worker.reconciler import Duty, Reconciler

Enqueue = Callable[..., Awaitable[UUID]]
Look = Callable[[UUID], Awaitable[Job]]


@pytest.fixture
async def child(settings: Settings) -> AsyncIterator[Child]:
    """What a pool process is, in this one; each message is good for one job."""
    child = Child(settings, "test", lambda: None, turn=0)
    yield child
    await asyncio.to_thread(child.close)


@pytest.fixture
def add(database: Database) -> Enqueue:
    async def add(args: JobArgs, **options: Any) -> UUID:
        async with database.transaction() as session:
            return (await enqueue(session, args, **options)).id

    return add


@pytest.fixture
def look(database: Database) -> Look:
    async def look(job_id: UUID) -> Job:
        async with database.session() as session:
            job = await session.get(Job, job_id)
            assert job is not None
            return job

    return look


@pytest.fixture
def broker(settings: Settings) -> Any:
    broker = Broker(settings)
    yield broker
    broker.close()


@pytest.fixture
async def reconciler(settings: Settings) -> AsyncIterator[Reconciler]:
    made = Reconciler(settings, Duty("test", 1, settings.worker_queues, kinds.known()))
    yield made
    made.close()


class Gate:
    """Holds `test.gate` in the middle of its work."""

    def __init__(self, settings: Settings) -> None:
        self._redis = Redis.from_url(str(settings.redis_url), socket_timeout=90)
        self._prefix = settings.redis_key_prefix

    async def started(self) -> tuple[str, int, int]:
        _, said = await self._redis.blpop([f"{self._prefix}started"], timeout=60)
        job_id, attempt, pid = said.decode().split()
        return job_id, int(attempt), int(pid)

    async def open(self) -> None:
        await self._redis.rpush(f"{self._prefix}gate", "open")

    async def close(self) -> None:
        await self._redis.aclose()


@pytest.fixture
async def gate(settings: Settings):
    gate = Gate(settings)
    yield gate
    await gate.close()
