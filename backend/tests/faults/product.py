"""The product's processes, as an orchestrator sees them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any
from uuid import UUID

import httpx2

from devstack.process import Child

PASSWORD = "correct-horse-battery-staple-42"


class Process:
    """One process group of the product."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._read_from = 0
        child.start()

    @property
    def pid(self) -> int:
        assert self._child.pid is not None
        return self._child.pid

    @property
    def name(self) -> str:
        return self._child.name

    @property
    def running(self) -> bool:
        return self._child.running

    @property
    def log(self) -> str:
        """What it has said since it was last started."""
        assert self._child.log is not None
        with self._child.log.open() as file:
            file.seek(self._read_from)
            return file.read()

    def signal(self, number: int) -> None:
        """To the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """-9 for parent and children at once."""
        self.signal(signal.SIGKILL)
        self._child.stop(10)

    def terminate(self) -> None:
        """SIGTERM for the parent, as an orchestrator sends it."""
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self) -> int | None:
        while self.running:
            await asyncio.sleep(0.02)
        return self._child.exit_code

    async def says(self, text: str, times: int = 1) -> None:
        """Waits until its log has this so often."""
        while self.log.count(text) < times:
            if not self.running:
                raise AssertionError(f"it ended without {text!r}: {self.log[-3000:]}")
            await asyncio.sleep(0.05)

    async def answers(self, client: httpx2.AsyncClient, path: str) -> None:
        """Waits for a 200."""
        while True:
            if not self.running:
                raise AssertionError(f"{self.name} ended: {self.log[-3000:]}")
            with contextlib.suppress(httpx2.TransportError):
                if (await client.get(path)).status_code == 200:
                    return
            await asyncio.sleep(0.05)

    def start(self) -> None:
        assert self._child.log is not None
        self._read_from = self._child.log.stat().st_size
        self._child.start()


class Api(Process):
    """An api process, and somebody who is signed in to it."""

    def __init__(self, child: Child, port: int) -> None:
        super().__init__(child)
        self.client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=15, trust_env=False)

    async def ready(self) -> None:
        await self.answers(self.client, "/health/ready")

    async def sign_up(self) -> str:
        """An `Authorization` that every api of this world takes."""
        who = {"email": "ada@example.com", "password": PASSWORD}
        (await self.client.post("/auth/register", json=who)).raise_for_status()
        answer = await self.client.post("/auth/login", data={"username": who["email"], "password": PASSWORD})
        return f"Bearer {answer.raise_for_status().json()['access_token']}"

    async def add(self, jobs: int = 1, *, key: str | None = None, **wanted: Any) -> list[UUID]:
        """Asks for jobs; their ids are a promise. Raises where there was no 2xx."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self.client.post("/faults/jobs", json={"jobs": jobs, **wanted}, headers=headers)
        return [UUID(one) for one in answer.raise_for_status().json()["ids"]]
