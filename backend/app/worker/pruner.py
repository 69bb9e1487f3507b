"""Deletes finished jobs after the retention of their kind."""

from __future__ import annotations

from app.infra.database import Database
from app.worker import repository
from app.worker.kinds import KINDS

_BATCH = 1000


async def prune_kind(database: Database, kind: str) -> int:
    """Deletes the finished jobs of a kind that are over its retention, in batches; returns how many."""
    deleted = 0
    params = {"kind": kind, "retention": KINDS[kind].retention.total_seconds(), "batch": _BATCH}
    while True:
        batch = len(await database.fetch(repository.PRUNE, params))
        deleted += batch
        if batch < _BATCH:
            return deleted
