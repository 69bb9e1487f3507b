"""States move along the table of docs/architecture.md and no other way, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from job_kinds import EchoArgs
from sqlalchemy import text

from app.infra.database import Database
from app.infra.settings import Settings
from app.infra.work import Work
from app.jobs import service
from app.jobs.errors import JobEnded, JobNotDiscarded
from app.kit.clock import utc_now
from app.models.job import FINAL_STATES, JOB_STATES
from app.worker import enqueue, kinds, repository
from app.worker.line import Line
from app.worker.reconciler import POISON_DEATHS
from tools.reference import ROOT

MOVES = {
    "scheduled": {"available", "cancelled", "discarded"},
    "available": {"running", "cancelled", "discarded"},
    "running": {"completed", "cancelled", "discarded", "available", "scheduled"},
    "discarded": {"available"},
    "completed": set(),
    "cancelled": set(),
}
STEPS = (
    "claim", "renew", "complete", "fail", "discard", "release", "cancel", "retry_by_operator", "due", "lose_lease",
    "rescue", "pass_deadline", "expire", "write_as_former_attempt",
)  # fmt: skip
NO_END = {"result": None, "errors": "[]"}


class Walk:
    """One job, what is done to it by the statements of the product, and the moves that came of it."""

    def __init__(self, database: Database, line: Line) -> None:
        self.database, self.line = database, line
        self.attempts: list[dict[str, Any]] = []
        self.moves: set[tuple[str, str]] = set()

    async def begin(self, *, later: bool) -> None:
        async with self.database.transaction() as session:
            await session.execute(text("DELETE FROM jobs"))
            run_at = utc_now() + timedelta(hours=1) if later else None
            self.job_id = (await enqueue(session, EchoArgs(), run_at=run_at)).id
        self.state = (await self.look())["state"]

    async def look(self) -> Mapping[str, Any]:
        async with self.database.session() as session:
            return (await session.execute(text("SELECT * FROM jobs"))).mappings().one()

    async def take(self, step: str) -> None:
        await self.do(step)
        job = await self.look()
        if job["state"] != self.state:
            assert job["state"] in MOVES[self.state], (self.state, step, job["state"])
            self.moves.add((self.state, job["state"]))
        assert (job["finished_at"] is not None) == (job["state"] in FINAL_STATES)
        assert (job["lease_token"] is not None) == (job["lease_until"] is not None) == (job["state"] == "running")
        assert job["attempt"] <= job["max_attempts"]
        self.state = job["state"]

    async def do(self, step: str) -> None:
        match step:
            case "claim":
                limits = {"workspace_limit": 4, "lease": 60.0, "worker": "w/1"}
                for row in await self.line.fetch(
                    repository.CLAIM, {"queue": "default", "known": kinds.known(), **limits}
                ):
                    self.attempts.append({"id": row["id"], "token": row["lease_token"]})
            case "renew":
                await self.as_attempt(repository.RENEW, lease=60.0)
            case "complete":
                await self.as_attempt(repository.FINISH, state="completed", **NO_END)
            case "discard":
                await self.as_attempt(repository.FINISH, state="discarded", **NO_END)
            case "fail":
                await self.as_attempt(repository.RETRY, delay=0.0, given_back=0, errors="[]")
            case "release":
                await self.as_attempt(repository.RELEASE)
            case "write_as_former_attempt":
                for former in self.attempts[:-1]:
                    params = {**former, "state": "completed", **NO_END}
                    assert await self.line.fetch(repository.FINISH, params) == []
            case "cancel":
                await self.as_operator(service.cancel(Work(self.database), None, self.job_id))
            case "retry_by_operator":
                async with self.database.transaction() as session:
                    await self.as_operator(service.retry(session, None, self.job_id))
            case "due":
                await self.happen("run_at = now() WHERE state = 'scheduled'")
                await self.line.fetch(repository.DUE, {"batch": 10})
            case "lose_lease":
                await self.happen("lease_until = now() - interval '1 second' WHERE state = 'running'")
            case "rescue":
                await self.line.fetch(repository.RESCUE, {"batch": 10, "dead": [], "poison": POISON_DEATHS})
            case "pass_deadline":
                await self.happen("deadline_at = now() - interval '1 second'")
            case "expire":
                await self.line.fetch(repository.EXPIRE, {"batch": 10})

    async def as_attempt(self, statement: Any, **params: Any) -> None:
        if self.attempts:
            await self.line.fetch(statement, {**self.attempts[-1], **params})

    async def as_operator(self, wish: Any) -> None:
        try:
            await wish
        except JobEnded:
            assert self.state in {"completed", "discarded"}
        except JobNotDiscarded:
            assert self.state != "discarded"

    async def happen(self, change: str) -> None:
        async with self.database.transaction() as session:
            await session.execute(text(f"UPDATE jobs SET {change}"))


EACH_MOVE = [
    (True, ["due", "claim", "complete"]),
    (True, ["cancel"]),
    (True, ["pass_deadline", "expire"]),
    (False, ["cancel"]),
    (False, ["pass_deadline", "expire", "retry_by_operator"]),
    (False, ["claim", "fail", "due", "claim", "discard"]),
    (False, ["claim", "release", "claim", "lose_lease", "rescue", "claim", "write_as_former_attempt", "complete"]),
    (False, ["claim", "cancel", "fail"]),
]


def test_a_job_moves_only_as_the_table_says_and_every_move_is_possible(settings: Settings) -> None:
    with asyncio.Runner() as runner:
        database, line = Database(settings), Line(settings, "walk")
        runner.run(database.start())
        walk = Walk(database, line)

        async def go(later: bool, steps: list[str]) -> None:
            walk.attempts.clear()
            await walk.begin(later=later)
            for step in steps:
                await walk.take(step)

        @trying(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(later=st.booleans(), steps=st.lists(st.sampled_from(("claim", *STEPS)), max_size=16))
        def whatever_happens(later: bool, steps: list[str]) -> None:
            runner.run(go(later, steps))

        for later, steps in EACH_MOVE:
            whatever_happens = example(later=later, steps=steps)(whatever_happens)
        whatever_happens()
        line.close()
        runner.run(database.stop())
    assert walk.moves == {(before, after) for before, afters in MOVES.items() for after in afters}


def test_the_documented_table_has_these_states() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.partition("| State | Entered when")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == JOB_STATES
    assert set(MOVES) == set(JOB_STATES)
