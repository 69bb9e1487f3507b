from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from app.admin import repository
from app.infra.settings import QUEUES
from app.kit.errors import invalid
from app.worker import figures
from app.worker.presence import processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from app.admin.schemas import BulkIn
    from app.infra.statements import Statement
    from app.infra.work import Work

log = structlog.get_logger(__name__)


async def queues(work: Work) -> list[dict[str, Any]]:
    return await figures.queue_figures(work.fetch)


async def pause(work: Work, queue: str, user_id: UUID | None) -> dict[str, Any]:
    """Nothing is claimed from the queue any more; what runs goes on. Raises InvalidInput for a queue that there is not."""
    _known(queue)
    await work.fetch(repository.PAUSE, {"queue": queue, "user_id": user_id})
    log.warning("queue_paused", queue=queue, user_id=str(user_id))
    return await _one(work, queue)


async def resume(work: Work, queue: str, user_id: UUID | None) -> dict[str, Any]:
    """Raises InvalidInput for a queue that there is not."""
    _known(queue)
    await work.fetch(repository.RESUME, {"queue": queue})
    log.warning("queue_resumed", queue=queue, user_id=str(user_id))
    return await _one(work, queue)


async def workers_and_beats(work: Work) -> list[dict[str, Any]]:
    return await processes(work.fetch)


async def stats(work: Work, hours: int) -> dict[str, Any]:
    """What ended within so many hours, by kind, with percentiles in seconds."""
    kinds = [
        {
            **{name: row[name] for name in ("kind", "completed", "cancelled", "discarded", "per_minute")},
            "duration_seconds": _percentiles(row["durations"]),
            "start_latency_seconds": _percentiles(row["latencies"]),
        }
        for row in await work.fetch(repository.STATS, {"hours": hours})
    ]
    dead = await work.fetch(repository.DEAD_LETTERS, {})
    return {"hours": hours, "dead_letters": dead[0]["jobs"], "kinds": kinds}


async def retry(work: Work, asked: BulkIn, user_id: UUID | None) -> dict[str, Any]:
    """Makes discarded jobs available again, as `jobs.service.retry` does one."""
    return await _bulk(work, asked, user_id, "jobs_retried", repository.RETRY, repository.RETRIABLE)


async def discard(work: Work, asked: BulkIn, user_id: UUID | None) -> dict[str, Any]:
    """Discards jobs that wait. Those that run are for `jobs.service.cancel`."""
    return await _bulk(work, asked, user_id, "jobs_discarded", repository.DISCARD, repository.WAITING)


async def _bulk(
    work: Work, asked: BulkIn, user_id: UUID | None, event: str, change: Statement, count: Statement
) -> dict[str, Any]:
    params = {**asked.filter.model_dump(), "limit": asked.limit}
    jobs = (await work.fetch(count if asked.dry_run else change, params))[0]["jobs"]
    if not asked.dry_run:
        log.warning(event, jobs=jobs, user_id=str(user_id), filter=asked.filter.model_dump_json(exclude_defaults=True))
    return {"jobs": jobs, "more": jobs == asked.limit, "dry_run": asked.dry_run}


def _percentiles(values: Sequence[float] | None) -> dict[str, float] | None:
    return (
        None if values is None else {name: round(v, 6) for name, v in zip(("p50", "p95", "p99"), values, strict=True)}
    )


def _known(queue: str) -> None:
    if queue not in QUEUES:
        raise invalid("/queue", "unknown_queue", f"The queues are {', '.join(QUEUES)}")


async def _one(work: Work, queue: str) -> dict[str, Any]:
    return next(row for row in await queues(work) if row["queue"] == queue)
