"""States move along the table of docs/architecture.md and no other way, whatever happens in whatever order."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_kinds import EchoArgs
from sqlalchemy import text

from app.infra.database import Database
from app.infra.settings import Settings
from app.infra.work import Work
from app.jobs import service
from app.jobs.errors import JobEnded, JobNotDiscarded
from app.kit.clock import utc_now
from app.worker import enqueue, kinds, repository
from app.worker.line import Line
from app.worker.reconciler import POISON_DEATHS

MOVES = {
    "scheduled": {"available", "cancelled", "discarded"},
    "available": {"running", "cancelled", "discarded"},
    "running": {"completed", "cancelled", "discarded", "available", "scheduled"},
    "discarded": {"available"},
    "completed": set(),
    "cancelled": set(),
}
FINAL = {"completed", "cancelled", "discarded"}
STEPS = (
    "claim", "renew", "complete", "fail", "discard", "release", "cancel", "operator_retry", "due", "lose_lease", "rescue",
    "pass_deadline", "expire", "stale_complete",
)  # fmt: skip


class Walk:
    def __init__(self, line: Line, database: Database) -> None:
        self.line, self.database = line, database
        self.held: dict[str, object] | None = None
        self.stale: dict[str, object] | None = None

    async def _do(self, sql: str) -> None:
        async with self.database.transaction() as session:
            await session.execute(text(sql))

    async def _operator(self, what: str) -> None:
        try:
            if what == "cancel":
                await service.cancel(Work(self.database), None, self.job_id)
            else:
                async with self.database.transaction() as session:
                    await service.retry(session, None, self.job_id)
        except (JobEnded, JobNotDiscarded):
            return

    async def _held(self, statement, **params) -> None:
        if self.held is not None:
            await self.line.fetch(statement, {**self.held, **params})

    async def start(self, *, later: bool) -> None:
        async with self.database.transaction() as session:
            run_at = utc_now() + timedelta(hours=1) if later else None
            self.job_id = (await enqueue(session, EchoArgs(), run_at=run_at)).id

    async def step(self, name: str) -> None:
        finish = {"result": None, "errors": "[]"}
        match name:
            case "claim":
                params = {
                    "queue": "default",
                    "known": kinds.known(),
                    "workspace_limit": 4,
                    "lease": 60.0,
                    "worker": "w/1",
                }
                if rows := await self.line.fetch(repository.CLAIM, params):
                    self.stale, self.held = self.held, {"id": rows[0]["id"], "token": rows[0]["lease_token"]}
            case "renew":
                await self._held(repository.RENEW, lease=60.0)
            case "complete":
                await self._held(repository.FINISH, state="completed", **finish)
            case "discard":
                await self._held(repository.FINISH, state="discarded", **finish)
            case "fail":
                await self._held(repository.RETRY, delay=0.0, errors="[]")
            case "release":
                await self._held(repository.RELEASE)
            case "stale_complete":
                if self.stale is not None:
                    rows = await self.line.fetch(repository.FINISH, {**self.stale, "state": "completed", **finish})
                    assert rows == []
            case "cancel" | "operator_retry":
                await self._operator(name)
            case "due":
                await self._do("UPDATE jobs SET run_at = now() WHERE state = 'scheduled'")
                await self.line.fetch(repository.DUE, {"batch": 10})
            case "lose_lease":
                await self._do("UPDATE jobs SET lease_until = now() - interval '1 second' WHERE state = 'running'")
            case "rescue":
                await self.line.fetch(repository.RESCUE, {"batch": 10, "dead": [], "poison": POISON_DEATHS})
            case "pass_deadline":
                await self._do("UPDATE jobs SET deadline_at = now() - interval '1 second'")
            case "expire":
                await self.line.fetch(repository.EXPIRE, {"batch": 10})

    async def look(self) -> asyncpg.Record:
        async with self.database.session() as session:
            return (await session.execute(text("SELECT * FROM jobs"))).mappings().one()


async def walk(config: Settings, steps: list[str], *, later: bool) -> None:
    database, line = Database(config), Line(config, "walk")
    await database.start()
    try:
        one = Walk(line, database)
        await one._do("TRUNCATE jobs CASCADE")
        await one.start(later=later)
        before = (await one.look())["state"]
        for step in steps:
            await one.step(step)
            job = await one.look()
            assert job["state"] == before or job["state"] in MOVES[before], (step, before, job["state"])
            assert (job["finished_at"] is not None) == (job["state"] in FINAL), (step, job["state"])
            assert (job["lease_token"] is not None) == (job["state"] == "running"), (step, job["state"])
            before = job["state"]
    finally:
        line.close()
        await database.stop()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), max_size=14), later=st.booleans())
def test_a_job_moves_only_as_the_table_says(prepared: Settings, steps: list[str], later: bool) -> None:
    asyncio.run(walk(prepared, steps, later=later))
