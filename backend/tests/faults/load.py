"""Requests at a fixed rate, whatever the answers do, with a ledger of what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2

from tests.faults.world import World

RATE = 40
"""Requests a second. About two fifths of what two apis, a worker, the servers and this client sustain on two cores together."""


@dataclass(frozen=True)
class Failure:
    """No complete answer, one of 500 and above, or one that the request did not deserve."""

    what: str
    seconds: float
    answer: httpx2.Response | None

    @property
    def is_refusal(self) -> bool:
        """Whether it says that the service cannot just now, and when to come again."""
        answer = self.answer
        return (
            answer is not None
            and answer.status_code == 503
            and "Retry-After" in answer.headers
            and answer.headers["Content-Type"] == "application/problem+json"
        )

    def __str__(self) -> str:
        said = f"{self.answer.status_code} {self.answer.text}" if self.answer is not None else "no answer"
        return f"{self.what} after {self.seconds:.2f} s: {said}"


@dataclass
class Part:
    """One stretch of it: the seconds that fine answers took, and the failures."""

    seconds: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class _Wish:
    path: str
    body: dict[str, Any]
    key: str


class Load:
    """Half reads; of the rest most make tasks or jobs under an `Idempotency-Key`, others change or delete under `If-Match`."""

    def __init__(self, world: World, clients: Sequence[httpx2.AsyncClient], rate: int = RATE) -> None:
        self.rate = rate
        self.jobs: list[UUID] = []
        self._world = world
        self._clients = clients
        self._idle: list[tuple[str, str]] = []
        """Ids and tags of tasks that are there, each taken out while somebody changes it."""
        self._titles: dict[str, str] = {}
        """The ledger of tasks: as they were last acknowledged, without those deleted."""
        self._created = 0
        self._doubtful: set[str] = set()
        """Tasks whose last change was not acknowledged: it may have happened or not."""
        self._wishes: dict[str, _Wish] = {}
        """What was asked for and not acknowledged, by key."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Part]:
        """Goes on for as long as the block; then the last requests are awaited."""
        part, over = Part(), asyncio.Event()
        sending = asyncio.create_task(self._send(part, over))
        try:
            yield part
        finally:
            over.set()
            await sending

    async def run(self, seconds: float) -> Part:
        async with self.running() as part:
            await asyncio.sleep(seconds)
        return part

    async def repeat(self) -> int:
        """Asks again, under the same keys, for what was not acknowledged; how many requests that took."""
        wishes = list(self._wishes.values())
        for wish in wishes:
            await self._create(self._clients[0], wish)
        return len(wishes)

    async def wrongs(self) -> list[str]:
        """Where the tasks that are there are not those acknowledged. A creation without an answer must be repeated before."""
        rows = await self._world.rows.fetch("SELECT id::text, title, deleted_at IS NULL AS alive FROM tasks")
        there = {row["id"]: row["title"] for row in rows if row["alive"]}
        wrongs = [
            f"task {task}: acknowledged as {title!r}, there as {there.get(task)!r}"
            for task, title in self._titles.items()
            if task not in self._doubtful and there.get(task) != title
        ]
        wrongs += [f"task {task}: there without a promise" for task in there.keys() - self._titles.keys()]
        if len(rows) != self._created:
            wrongs.append(f"{len(rows)} tasks were made for {self._created} acknowledged")
        return wrongs

    async def _send(self, part: Part, over: asyncio.Event) -> None:
        began = time.monotonic()
        requests: set[asyncio.Task[None]] = set()
        number = 0
        while not over.is_set():
            await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            request = asyncio.create_task(self._one(part, self._clients[number % len(self._clients)]))
            requests.add(request)
            request.add_done_callback(requests.discard)
            number += 1
        await asyncio.gather(*requests)

    async def _one(self, part: Part, client: httpx2.AsyncClient) -> None:
        began = time.perf_counter()
        try:
            await self._request(client)
        except httpx2.HTTPError as error:
            answer = error.response if isinstance(error, httpx2.HTTPStatusError) else None
            what = f"{error.request.method} {error.request.url.path}: {type(error).__name__}"
            part.failures.append(Failure(what, time.perf_counter() - began, answer))
        else:
            part.seconds.append(time.perf_counter() - began)

    async def _request(self, client: httpx2.AsyncClient) -> None:
        what = random.random()
        if what < 0.5:
            (await client.get("/tasks", params={"limit": 20})).raise_for_status()
        elif what < 0.6:
            await self._create(client, _Wish("/faults/jobs", {"silent": True}, secrets.token_hex(16)))
        elif what < 0.75 or not self._idle:
            await self._create(client, _Wish("/tasks", {"title": secrets.token_hex(4)}, secrets.token_hex(16)))
        else:
            await self._change(client, delete=what >= 0.95)

    async def _create(self, client: httpx2.AsyncClient, wish: _Wish) -> None:
        self._wishes[wish.key] = wish
        answer = await client.post(wish.path, json=wish.body, headers={"Idempotency-Key": wish.key})
        answer.raise_for_status()
        del self._wishes[wish.key]
        if wish.path == "/tasks":
            self._created += 1
            self._keep(answer)
        else:
            added = [UUID(one) for one in answer.json()["ids"]]
            self.jobs += added
            self._world.promised.update(added)

    async def _change(self, client: httpx2.AsyncClient, *, delete: bool) -> None:
        task, tag = self._idle.pop(random.randrange(len(self._idle)))
        self._doubtful.add(task)
        path, headers = f"/tasks/{task}", {"If-Match": tag}
        if delete:
            (await client.delete(path, headers=headers)).raise_for_status()
            del self._titles[task]
        else:
            answer = await client.patch(path, json={"title": secrets.token_hex(4)}, headers=headers)
            self._keep(answer.raise_for_status())
        self._doubtful.discard(task)

    def _keep(self, answer: httpx2.Response) -> None:
        task = answer.json()
        self._titles[task["id"]] = task["title"]
        self._idle.append((task["id"], answer.headers["ETag"]))
