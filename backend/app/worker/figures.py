"""The state of all queues, as figures: read from the rows, so they are there when every worker is gone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from prometheus_client import Gauge

from app.infra.settings import QUEUES
from app.worker import repository
from app.worker.presence import ALIVE_SECONDS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from app.worker.line import Fetch

_BY_QUEUE = {
    "taskapi_jobs_waiting": ("waiting", "Jobs that are due and wait for a worker."),
    "taskapi_jobs_scheduled": ("scheduled", "Jobs that are not due yet."),
    "taskapi_jobs_running": ("running", "Jobs that a worker holds."),
    "taskapi_jobs_parked": ("parked", "Waiting jobs of a kind or version that no live worker knows."),
    "taskapi_jobs_oldest_waiting_seconds": ("oldest_waiting_seconds", "Age of the job that has waited longest."),
    "taskapi_queue_paused": ("paused_at", "1 where an operator has paused the queue."),
}


async def queue_figures(fetch: Fetch) -> list[dict[str, Any]]:
    """Each queue: jobs `waiting`, `scheduled`, `running`, `parked`, `oldest_waiting_seconds`, `paused_at`."""
    return [dict(row) for row in await fetch(repository.QUEUES, {"queues": list(QUEUES), "alive": ALIVE_SECONDS})]


class JobFigures:
    """Gauges in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = {
            name: Gauge(name, about, ("queue",), registry=registry) for name, (_, about) in _BY_QUEUE.items()
        }
        self._lag = Gauge(
            "taskapi_schedule_lag_seconds",
            "How late the slot is that is due first, of those that came due since a beat last handled one.",
            (),
            registry=registry,
        )

    async def read(self, fetch: Fetch) -> None:
        for queue in await queue_figures(fetch):
            for name, (column, _) in _BY_QUEUE.items():
                value = queue[column]
                number = float(value is not None) if column == "paused_at" else float(value or 0)
                self._gauges[name].labels(queue["queue"]).set(number)
        self._lag.set((await fetch(repository.SCHEDULE_LAG, {}))[0]["seconds"] or 0.0)

    def clear(self) -> None:
        for gauge in self._gauges.values():
            gauge.clear()
        self._lag.set(math.nan)  # one without labels cannot be left out
