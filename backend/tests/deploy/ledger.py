"""The load on an installation, and whether its tables agree with what was acknowledged."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, Protocol

import httpx2

from tests import load
from tests.load import Wish

QUIET_SECONDS = 300


class Tables(Protocol):
    """What an installation shows of itself, wherever it runs. It must be one that only this load has written to."""

    def rows(self, sql: str) -> list[dict[str, Any]]: ...

    def letters(self) -> int:
        """Messages that were sent, as files."""


class Load(load.Load):
    """Its jobs are mailings, each with one child that has an effect."""

    def __init__(self, clients: Sequence[httpx2.AsyncClient], rate: float) -> None:
        super().__init__(clients, rate)
        self.mailings: set[str] = set()

    def job(self) -> Wish:
        to = f"{secrets.token_hex(8)}@example.com"
        return Wish("/emails", {"to": [to], "subject": "Under load", "text": "One of many."})

    def promised(self, answer: httpx2.Response) -> None:
        self.mailings.add(answer.json()["id"])


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


def wrongs(installation: Tables, load: Load) -> list[str]:
    """Where the tables do not agree with the ledger.

    For a moment in which every job has ended, and what was not acknowledged has been repeated.
    """
    found = load.wrongs(installation.rows("SELECT id, title, deleted_at IS NULL AS alive FROM tasks"))
    jobs = installation.rows("""
        SELECT parent.id, parent.state, count(child.id) AS children, count(*) FILTER (WHERE child.state = 'completed') AS sent
        FROM jobs AS parent JOIN jobs AS child ON child.parent_id = parent.id GROUP BY parent.id
    """)
    done = {job["id"] for job in jobs if (job["state"], job["children"], job["sent"]) == ("completed", 1, 1)}
    if load.mailings - done:
        found.append(f"{len(load.mailings - done)} jobs were lost or did not complete")
    if len(jobs) != len(load.mailings):
        found.append(f"{len(jobs)} mailings for {len(load.mailings)} acknowledged")
    letters = installation.letters()
    if letters != len(jobs):
        found.append(f"{letters} letters for {len(jobs)} mailings")
    slots = installation.rows(
        "SELECT schedule_id, count(*) AS n FROM schedule_runs GROUP BY schedule_id, slot HAVING count(*) > 1"
    )
    if slots:
        found.append(f"{len(slots)} slots fired twice")
    return found
