"""Whether workers and beats are stuck: what the probes of their containers ask.

Each probe is an interpreter of its own, started every few seconds, so this stands on the driver alone: SQLAlchemy, the
models and the room of jobs take most of a second of CPU to import.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

PATIENCE = timedelta(seconds=60)
"""What waits for longer, while those who are to do it show nothing, means that they are stuck."""

# Waiting for longer than PATIENCE, while the worker that could take it has no job and has begun none.
_WORKERS = """
    SELECT id, EXISTS (
        SELECT FROM jobs WHERE state = 'available' AND jobs.queue = ANY (queues) AND run_at < now() - $1::interval
            AND kind || '@' || args_version = ANY (known) AND cancel_requested_at IS NULL
            AND jobs.queue NOT IN (SELECT paused_queues.queue FROM paused_queues)
            AND (workspace_id IS NULL OR workspace_id NOT IN (
                SELECT busy.workspace_id FROM jobs AS busy
                WHERE busy.state = 'running' AND busy.lease_token IS NOT NULL AND busy.workspace_id IS NOT NULL))
        ) AND NOT EXISTS (SELECT FROM jobs WHERE state = 'running' AND starts_with(jobs.worker, processes.id || '/'))
        AND coalesce(worked_at, started_at) < now() - $1::interval AS stuck
    FROM processes WHERE role = 'worker' AND host = $2 AND seen_at > now() - $1::interval
"""
# Told at the end of a look for slots. The slots themselves prove nothing: one may be late that no beat of this release
# can handle, and a restart would not help.
_BEATS = "SELECT EXISTS (SELECT FROM processes WHERE role = 'beat' AND host = $2 AND seen_at > now() - $1::interval)"


async def worker_fault(connection: Connection) -> str | None:
    """What is wrong with the workers of this host: jobs wait, no slot is busy, and nothing has begun for `PATIENCE`."""
    rows = await connection.fetch(_WORKERS, PATIENCE, socket.gethostname())
    if not rows:
        return "no worker of this host has been seen"
    stuck = [row["id"] for row in rows if row["stuck"]]
    return f"jobs wait, and nothing begins: {', '.join(stuck)}" if stuck else None


async def beat_fault(connection: Connection) -> str | None:
    """What is wrong with the beats of this host: none has looked for due slots, to the end, for `PATIENCE`."""
    seen = await connection.fetchval(_BEATS, PATIENCE, socket.gethostname())
    return None if seen else "no beat of this host has looked for slots"
