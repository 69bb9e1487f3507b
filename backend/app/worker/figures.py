"""The state of all queues, as figures: read from the rows, so they are there when every worker is gone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Gauge

from app.worker import repository
from app.worker.kinds import QUEUES
from app.worker.line import Line
from app.worker.presence import ALIVE_SECONDS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from app.infra.settings import Settings
    from app.worker.line import Fetch

log = structlog.get_logger(__name__)

_FRESH_SECONDS = 5.0
_TIMEOUT = 2.0
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
    """Gauges in `registry`, brought up to date before they are shown, at most every five seconds."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._line = Line(settings, "figures")
        self._one = asyncio.Lock()
        self._read = -_FRESH_SECONDS
        self._gauges = {
            name: Gauge(name, about, ("queue",), registry=registry) for name, (_, about) in _BY_QUEUE.items()
        }
        self._lag = Gauge(
            "taskapi_schedule_lag_seconds", "How late the slot is that is due first.", (), registry=registry
        )

    async def refresh(self) -> None:
        """A database that does not answer leaves the figures out: old ones would say that all is well."""
        async with self._one:
            if time.monotonic() < self._read + _FRESH_SECONDS:
                return
            self._read = time.monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    queues = await queue_figures(self._line.fetch)
                    lag = (await self._line.fetch(repository.SCHEDULE_LAG, {}))[0]["seconds"]
            except Exception as error:  # noqa: BLE001  the other figures are wanted all the more
                log.warning("job_figures_failed", reason=type(error).__name__)
                for gauge in self._gauges.values():
                    gauge.clear()
                return
            self._show(queues)
            self._lag.set(lag or 0.0)

    def close(self) -> None:
        self._line.close()

    def _show(self, queues: list[dict[str, Any]]) -> None:
        for queue in queues:
            for name, (column, _) in _BY_QUEUE.items():
                value = queue[column]
                number = float(value is not None) if column == "paused_at" else float(value or 0)
                self._gauges[name].labels(queue["queue"]).set(number)
