"""For tests of what enqueues jobs: run them here and now, by the code that runs them in a worker."""

from __future__ import annotations

import asyncio

from app.infra.settings import Settings
from app.worker.child import Child
from app.worker.kinds import QUEUES


async def run_jobs_until_idle(settings: Settings) -> int:
    """Runs every job that is available, and those that they enqueue; returns how many. Retries are not waited for.

    The modules with the handlers must have been imported.
    """
    return await asyncio.to_thread(_run_all, settings)


def _run_all(settings: Settings) -> int:
    child = Child(settings, "test", lambda: None)
    try:
        total = 0
        while ran := sum(child.run_next(queue) for queue in QUEUES):
            total += ran
        return total
    finally:
        child.close()
