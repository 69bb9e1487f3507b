"""Requests at a fixed rate whatever the answers do, and a ledger of what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2

QUIET_SECONDS = 300
PRESSURE = Path("/proc/pressure/cpu")


class Tables(Protocol):
    """What an installation shows of itself, wherever it runs. It must be one that only this load has written to."""

    def rows(self, sql: str) -> list[dict[str, Any]]: ...

    def letters(self) -> int:
        """Messages that were sent, as files."""


@dataclass
class Ledger:
    """What clients were told. A failure: no complete answer, one of 500 and above, or one that was not deserved."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    tasks: dict[str, str] = field(default_factory=dict)
    """The title of each task that was acknowledged last, but of those whose deletion or last change was not: they may be either way."""
    mailings: set[str] = field(default_factory=set)
    """Jobs that were acknowledged, each with one child that has an effect."""
    created: int = 0
    uncertain: int = 0
    """Creations that failed: each may have happened or not."""

    def at(self, percent: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


class Load:
    """Half of it reads; of the rest most make tasks or jobs under an `Idempotency-Key`, others change or delete under `If-Match`.

    Nothing is tried again.
    """

    def __init__(self, client: httpx2.AsyncClient, ledger: Ledger, rate: float) -> None:
        self._client = client
        self._ledger = ledger
        self._rate = rate
        self._idle: list[tuple[str, str]] = []
        """Ids and tags of tasks, each taken out while somebody changes it."""

    @contextlib.asynccontextmanager
    async def running(self):
        """Goes on for as long as the block; then the last requests are awaited."""
        over = asyncio.Event()
        sending = asyncio.create_task(self._send(over))
        try:
            yield
        finally:
            over.set()
            await sending

    async def _send(self, over: asyncio.Event) -> None:
        began = time.monotonic()
        requests: set[asyncio.Task[None]] = set()
        number = 0
        while not over.is_set():
            number += 1
            await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
            request = asyncio.create_task(self._one())
            requests.add(request)
            request.add_done_callback(requests.discard)
        await asyncio.gather(*requests)

    async def _one(self) -> None:
        began = time.perf_counter()
        try:
            await self._request()
        except httpx2.HTTPStatusError as error:
            self._fail(error.request, f"{error.response.status_code} {error.response.text[:300]}")
        except httpx2.HTTPError as error:
            self._fail(error.request, repr(error))
        else:
            self._ledger.seconds.append(time.perf_counter() - began)

    def _fail(self, request: httpx2.Request, what: str) -> None:
        now = time.strftime("%H:%M:%S")
        with contextlib.suppress(OSError):
            # Where that is high for long, it may be all there is to explain.
            waited = PRESSURE.read_text().split()[1].removeprefix("avg10=")
            what += f" (in {waited} % of the last 10 s something here waited for a CPU)"
        self._ledger.failures.append(f"{now} {request.method} {request.url.path}: {what}")
        self._ledger.uncertain += request.method == "POST"

    async def _request(self) -> None:
        what = random.random()
        key = {"Idempotency-Key": secrets.token_hex(16)}
        if what < 0.5:
            (await self._client.get("/tasks", params={"limit": 20})).raise_for_status()
        elif what < 0.6:
            message = {"to": [f"{secrets.token_hex(8)}@example.com"], "subject": "Under load", "text": "One of many."}
            answer = await self._client.post("/emails", json=message, headers=key)
            self._ledger.mailings.add(answer.raise_for_status().json()["id"])
        elif what < 0.75 or not self._idle:
            self._keep(await self._client.post("/tasks", json={"title": secrets.token_hex(8)}, headers=key))
            self._ledger.created += 1
        elif what < 0.95:
            task, tag = self._take()
            change = {"title": secrets.token_hex(8)}
            self._keep(await self._client.patch(f"/tasks/{task}", json=change, headers={"If-Match": tag}))
        else:
            task, tag = self._take()
            (await self._client.delete(f"/tasks/{task}", headers={"If-Match": tag})).raise_for_status()

    def _take(self) -> tuple[str, str]:
        """A task to change; until that is acknowledged nothing is known of it."""
        task, tag = self._idle.pop(random.randrange(len(self._idle)))
        del self._ledger.tasks[task]
        return task, tag

    def _keep(self, answer: httpx2.Response) -> None:
        task = answer.raise_for_status().json()
        self._ledger.tasks[task["id"]] = task["title"]
        self._idle.append((task["id"], answer.headers["ETag"]))


async def settle(installation: Tables) -> list[str]:
    """Waits until every job of the load has ended."""
    waiting = (
        "SELECT count(*) AS n FROM jobs WHERE kind LIKE 'email.%' AND state IN ('available', 'scheduled', 'running')"
    )
    until = time.monotonic() + QUIET_SECONDS
    while installation.rows(waiting)[0]["n"]:
        if time.monotonic() > until:
            return ["jobs still wait"]
        await asyncio.sleep(1)
    return []


def wrongs(installation: Tables, ledger: Ledger) -> list[str]:
    """Where the tables do not agree with the ledger. For a moment in which every job has ended."""
    found = []
    there = {
        row["id"]: row["title"] for row in installation.rows("SELECT id, title FROM tasks WHERE deleted_at IS NULL")
    }
    lost = [task for task, title in ledger.tasks.items() if there.get(task) != title]
    if lost:
        found.append(f"{len(lost)} tasks are not as was acknowledged")
    all_tasks = installation.rows("SELECT count(*) AS n FROM tasks")[0]["n"]
    if not ledger.created <= all_tasks <= ledger.created + ledger.uncertain:
        found.append(f"{all_tasks} tasks for {ledger.created} creations")
    jobs = installation.rows("""
        SELECT parent.id, parent.state, count(child.id) AS children, count(*) FILTER (WHERE child.state = 'completed') AS sent
        FROM jobs AS parent JOIN jobs AS child ON child.parent_id = parent.id GROUP BY parent.id
    """)
    done = {job["id"] for job in jobs if (job["state"], job["children"], job["sent"]) == ("completed", 1, 1)}
    if ledger.mailings - done:
        found.append(f"{len(ledger.mailings - done)} jobs were lost or did not complete")
    if not len(ledger.mailings) <= len(jobs) <= len(ledger.mailings) + ledger.uncertain:
        found.append(f"{len(jobs)} mailings for {len(ledger.mailings)} acknowledged")
    letters = installation.letters()
    if letters != len(jobs):
        found.append(f"{letters} letters for {len(jobs)} mailings")
    slots = installation.rows(
        "SELECT schedule_id, count(*) AS n FROM schedule_runs GROUP BY schedule_id, slot HAVING count(*) > 1"
    )
    if slots:
        found.append(f"{len(slots)} slots fired twice")
    return found
