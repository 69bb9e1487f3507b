"""Requests at a fixed rate, whatever the answers do, with a ledger of what was acknowledged."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2

from tests.faults.world import Api, World

RATE = 40
"""Requests a second. About two fifths of what two apis, a worker, the servers and this client sustain on two cores together."""


@dataclass
class Part:
    """One stretch of it. A failure: no complete answer, or one of 500 and above, or one that the request did not deserve."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Load:
    """Half reads; of the rest most make tasks or jobs under an `Idempotency-Key`, others change or delete under `If-Match`."""

    def __init__(self, world: World, apis: Sequence[Api], rate: int = RATE) -> None:
        self.rate = rate
        self.jobs: list[UUID] = []
        self._world = world
        self._apis = apis
        self._tasks: list[tuple[str, str]] = []
        """Ids and tags of tasks that are there, each taken out while somebody changes it."""

    async def run(self, seconds: float) -> Part:
        part = Part()
        began = time.monotonic()
        requests = []
        for number in range(int(seconds * self.rate)):
            await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            requests.append(asyncio.create_task(self._one(part, self._apis[number % len(self._apis)].client)))
        await asyncio.gather(*requests)
        return part

    async def _one(self, part: Part, client: httpx2.AsyncClient) -> None:
        began = time.perf_counter()
        try:
            await self._request(client)
        except httpx2.HTTPStatusError as error:
            part.failures.append(f"{error.request.method} {error.request.url.path}: {error.response.text}")
        except httpx2.HTTPError as error:
            part.failures.append(f"{error.request.method} {error.request.url.path}: {type(error).__name__}")
        else:
            part.seconds.append(time.perf_counter() - began)

    async def _request(self, client: httpx2.AsyncClient) -> None:
        what = random.random()
        key = {"Idempotency-Key": secrets.token_hex(16)}
        if what < 0.5:
            (await client.get("/tasks", params={"limit": 20})).raise_for_status()
        elif what < 0.6:
            answer = await client.post("/faults/jobs", json={"silent": True}, headers=key)
            added = [UUID(one) for one in answer.raise_for_status().json()["ids"]]
            self.jobs += added
            self._world.promised.update(added)
        elif what < 0.75 or not self._tasks:
            self._keep(await client.post("/tasks", json={"title": "under load"}, headers=key))
        elif what < 0.95:
            task, tag = self._tasks.pop(random.randrange(len(self._tasks)))
            body: dict[str, Any] = {"title": secrets.token_hex(4)}
            self._keep(await client.patch(f"/tasks/{task}", json=body, headers={"If-Match": tag}))
        else:
            task, tag = self._tasks.pop(random.randrange(len(self._tasks)))
            (await client.delete(f"/tasks/{task}", headers={"If-Match": tag})).raise_for_status()

    def _keep(self, answer: httpx2.Response) -> None:
        answer.raise_for_status()
        self._tasks.append((answer.json()["id"], answer.headers["ETag"]))
