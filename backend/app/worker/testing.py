"""For tests of what enqueues jobs: see that they are there, and run them by the code that runs them in a worker."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.infra.settings import QUEUES, Settings
from app.models import Job
from app.worker import repository
from app.worker.child import Child
from app.worker.kinds import JobArgs
from app.worker.line import Line

Args = TypeVar("Args", bound=JobArgs)


async def assert_enqueued(session: AsyncSession, kind: type[Args], *, times: int = 1, **fields: Any) -> list[Args]:
    """Asserts that so many jobs of the kind have these values in their args, whatever their state; returns their args.

    Sees what the session sees: also what it has not committed yet. `times=0` asserts that there is none.
    """
    rows = await session.scalars(select(Job).where(Job.kind == kind.kind).order_by(Job.id))
    found = [kind.model_validate_json(to_json(job.args)) for job in rows]
    matching = [args for args in found if all(getattr(args, name) == value for name, value in fields.items())]
    if len(matching) != times:
        there = "".join(f"\n  {args!r}" for args in found) or " none"
        raise AssertionError(f"{len(matching)} jobs {kind.kind} with {fields} instead of {times}; there are:{there}")
    return matching


async def run_jobs_until_idle(settings: Settings) -> int:
    """Runs every job that is available, and those that they enqueue; returns how many. Retries are not waited for.

    Parents end with their children. The modules with the handlers must have been imported.
    """
    ran = await asyncio.to_thread(_run_all, settings)
    line = Line(settings, "test")
    try:
        await line.fetch(repository.SETTLE, {"batch": 1000})
    finally:
        line.close()
    return ran


def _run_all(settings: Settings) -> int:
    child = Child(settings, "test", lambda: None)
    try:
        total = 0
        while ran := sum(child.run_next(queue) for queue in QUEUES):
            total += ran
        return total
    finally:
        child.close()
