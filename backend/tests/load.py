"""Requests at a fixed rate, whatever the answers do, with a ledger of what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

_PRESSURE = Path("/proc/pressure/cpu")


@dataclass(frozen=True)
class Failure:
    """No complete answer, one of 500 and above, or one that the request did not deserve."""

    at: str
    what: str
    seconds: float
    answer: httpx2.Response | None
    cpu: str
    """How long, of the last ten seconds, something here waited for a CPU: where that is high, it may be all there is to explain."""

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
        return f"{self.at} {self.what} after {self.seconds:.2f} s: {said} (CPU waited for: {self.cpu})"


@dataclass
class Part:
    """One stretch of it: the seconds that fine answers took, and the failures."""

    seconds: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def mark(self) -> tuple[int, int]:
        return len(self.seconds), len(self.failures)

    def since(self, mark: tuple[int, int]) -> Part:
        return Part(self.seconds[mark[0] :], self.failures[mark[1] :])

    def __str__(self) -> str:
        ordered = sorted(self.seconds) or [0.0]
        p50, p99, p100 = (ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (50, 99, 100))
        answered = f"{len(self.seconds)} requests answered, p50 {p50:.3f} p99 {p99:.3f} p100 {p100:.3f} s"
        return f"{answered}, {len(self.failures)} failed"


@dataclass(frozen=True)
class Wish:
    """Something to make, under a key of its own."""

    path: str
    body: dict[str, Any]
    key: str = field(default_factory=lambda: secrets.token_hex(16))


class Load(ABC):
    """Half reads; of the rest most make tasks or jobs under an `Idempotency-Key`, others change or delete under `If-Match`."""

    def __init__(self, clients: Sequence[httpx2.AsyncClient], rate: float) -> None:
        self.rate = rate
        self.created = 0
        """Tasks whose creation was acknowledged."""
        self._clients = clients
        self._idle: list[tuple[str, str]] = []
        """Ids and tags of tasks that are there, each taken out while somebody changes it."""
        self._titles: dict[str, str] = {}
        """The ledger of tasks: as they were last acknowledged, without those deleted."""
        self._doubtful: set[str] = set()
        """Tasks whose last change was not acknowledged: it may have happened or not."""
        self._wishes: dict[str, Wish] = {}
        """What was asked for and not acknowledged, by key."""

    @abstractmethod
    def job(self) -> Wish:
        """How a job is asked for."""

    @abstractmethod
    def promised(self, answer: httpx2.Response) -> None:
        """A job was acknowledged."""

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
        """Asks again, under the same keys, for what was not acknowledged; how many requests that took.

        Where it is told to come later, as after an outage, it does, for half a minute.
        """
        wishes = list(self._wishes.values())
        until = time.monotonic() + 30
        while self._wishes:
            try:
                for wish in list(self._wishes.values()):
                    await self._create(self._clients[0], wish)
            except httpx2.HTTPStatusError as error:
                if "Retry-After" not in error.response.headers or time.monotonic() > until:
                    raise
                await asyncio.sleep(int(error.response.headers["Retry-After"]))
        return len(wishes)

    def wrongs(self, tasks: Iterable[Mapping[str, Any]]) -> list[str]:
        """Where the tasks that are there (`id`, `title`, `alive`) are not those acknowledged.

        For a moment in which what was not acknowledged has been repeated.
        """
        rows = list(tasks)
        there = {row["id"]: row["title"] for row in rows if row["alive"]}
        wrongs = [
            f"task {task}: acknowledged as {title!r}, there as {there.get(task)!r}"
            for task, title in self._titles.items()
            if task not in self._doubtful and there.get(task) != title
        ]
        wrongs += [f"task {task}: there without a promise" for task in there.keys() - self._titles.keys()]
        if len(rows) != self.created:
            wrongs.append(f"{len(rows)} tasks were made for {self.created} acknowledged")
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
            took = time.perf_counter() - began
            part.failures.append(Failure(time.strftime("%H:%M:%S"), what, took, answer, _cpu_waited_for()))
        else:
            part.seconds.append(time.perf_counter() - began)

    async def _request(self, client: httpx2.AsyncClient) -> None:
        what = random.random()
        if what < 0.5:
            (await client.get("/tasks", params={"limit": 20})).raise_for_status()
        elif what < 0.6:
            await self._create(client, self.job())
        elif what < 0.75 or not self._idle:
            await self._create(client, Wish("/tasks", {"title": secrets.token_hex(4)}))
        else:
            await self._change(client, delete=what >= 0.95)

    async def _create(self, client: httpx2.AsyncClient, wish: Wish) -> None:
        self._wishes[wish.key] = wish
        answer = await client.post(wish.path, json=wish.body, headers={"Idempotency-Key": wish.key})
        answer.raise_for_status()
        del self._wishes[wish.key]
        if wish.path == "/tasks":
            self.created += 1
            self._keep(answer)
        else:
            self.promised(answer)

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


def _cpu_waited_for() -> str:
    try:
        return _PRESSURE.read_text().split()[1].removeprefix("avg10=") + " %"
    except OSError:
        return "not known"
