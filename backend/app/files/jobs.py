"""The handler of `files.sync`."""

from datetime import timedelta
from typing import Any

import structlog

from app.files import repository
from app.files.job_args import SyncArgs
from app.infra.storage import SHELVES, Storage
from app.kit.clock import utc_now
from app.worker import RunningJob, handler

log = structlog.get_logger(__name__)

SETTLED = timedelta(days=1)
"""Younger bytes and rows may be one half of what is still being written."""
_NAMED = 20
_STEP = 16


@handler(SyncArgs)
async def sync_files(job: RunningJob, _: SyncArgs) -> dict[str, Any]:
    storage, before = Storage(job.settings), utc_now() - SETTLED
    files = deleted = 0
    missing: list[str] = []
    for number, shelf in enumerate(SHELVES):
        if number % _STEP == 0:
            await job.progress(number, len(SHELVES))
        # The bytes first: a row that is committed meanwhile is too young to count.
        keys = await storage.shelf(shelf)
        rows = await job.database.fetch(repository.SHELF, {"first": f"{shelf}/", "last": f"{shelf}0"})
        named = {row["storage_key"] for row in rows}
        files += len(rows)
        for key, written_at in keys.items():
            if key not in named and written_at < before:
                await storage.delete(key)
                deleted += 1
        missing += [str(r["id"]) for r in rows if r["storage_key"] not in keys and r["created_at"] < before]
    if missing:
        log.error("files_missing", count=len(missing), file_ids=missing[:_NAMED])
    return {"files": files, "deleted": deleted, "missing": len(missing), "missing_ids": missing[:_NAMED]}
