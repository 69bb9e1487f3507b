"""Real workers in process groups of their own, and what is waited for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from app.infra.settings import Settings
from app.models import Job

HERE = Path(__file__).parent
FINAL = {"completed", "cancelled", "discarded"}


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "REDIS_KEY_PREFIX": settings.redis_key_prefix,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "STORAGE_DIR": settings.storage_dir,
        "JOB_LEASE_SECONDS": "3",
        "JOB_HEARTBEAT_SECONDS": "0.4",
        "RECONCILER_INTERVAL": "0.3",
        **changes,
    }


class WorkerUnderTest:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log: list[str] = []
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.log.append(line.decode())
            if " ready." in self.log[-1]:
                self._ready.set()

    async def ready(self) -> None:
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait({ended, asyncio.create_task(self._ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert self._ready.is_set(), "".join(self.log)
        ended.cancel()

    async def ended(self) -> int:
        code = await self.process.wait()
        await self._reading
        return code

    def signal_group(self, number: int) -> None:
        os.killpg(self.process.pid, number)


@pytest.fixture
async def start(settings: Settings) -> AsyncIterator[Callable[..., Awaitable[WorkerUnderTest]]]:
    workers: list[WorkerUnderTest] = []

    async def start(**changes: str) -> WorkerUnderTest:
        command = [
            "-m",
            "celery",
            "-A",
            "worker_app",
            "worker",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=environment(settings, **changes),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        worker = WorkerUnderTest(process)
        workers.append(worker)
        await worker.ready()
        return worker

    yield start
    for worker in workers:
        if worker.process.returncode is None:
            worker.signal_group(signal.SIGCONT)
            worker.signal_group(signal.SIGKILL)
        await worker.ended()
        print("".join(worker.log))  # shown with a failure only


@pytest.fixture
def finished(look) -> Callable[[UUID], Awaitable[Job]]:
    async def finished(job_id: UUID) -> Job:
        while (job := await look(job_id)).state not in FINAL:
            await asyncio.sleep(0.05)
        return job

    return finished
