"""Figures for Prometheus, one registry for each application."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, start_http_server
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from app import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from app.infra.breaker import Breaker
    from app.infra.circuits import Circuit
    from app.infra.settings import Settings

log = structlog.get_logger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def new_registry(settings: Settings) -> CollectorRegistry:
    """For one process: what the machine says of it (`process_*`) and which release it is."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Info("taskapi_build", "The release that runs.", registry=registry)
    build.info({"version": __version__, "commit": settings.build_commit})
    return registry


def expose(registry: CollectorRegistry, settings: Settings) -> None:
    """Serves a process's figures on METRICS_PORT, from a thread of its own; nothing where that is not set.

    A port that is taken is logged: no work depends on it.
    """
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        log.warning("metrics_not_served", port=settings.metrics_port, reason=str(error))


def _figure(read: Callable[[], Mapping[str, int]], name: str) -> float:
    return read()[name]


class BackupFigures:
    """Gauges in `registry`."""

    def __init__(self, registry: CollectorRegistry, *, configured: bool) -> None:
        where = Gauge("taskapi_backup_configured", "1 where this process is told of a BACKUP_URL.", registry=registry)
        where.set(configured)
        self._taken = Gauge(
            "taskapi_backup_timestamp_seconds", "When the newest backup was taken; 0: never.", registry=registry
        )
        self._verified = Gauge(
            "taskapi_backup_verified_timestamp_seconds",
            "When a backup was last restored to prove it; 0: never.",
            registry=registry,
        )
        self._seconds = Gauge("taskapi_backup_restore_seconds", "How long that took.", registry=registry)

    def observe(
        self, *, taken_at: datetime | None, verified_at: datetime | None, restore_seconds: float | None
    ) -> None:
        self._taken.set(taken_at.timestamp() if taken_at else 0)
        self._verified.set(verified_at.timestamp() if verified_at else 0)
        self._seconds.set(restore_seconds or 0)


class Metrics:
    """Counts what the process does. Rooms add their own collectors to `registry`."""

    def __init__(self, settings: Settings) -> None:
        self.registry = new_registry(settings)
        self._requests = Counter(
            "taskapi_http_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "taskapi_http_request_duration_seconds",
            "Time from the request's head to the end of its answer.",
            ("route", "method"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._health = Gauge(
            "taskapi_health_check_healthy", "1 where the check passes.", ("check",), registry=self.registry
        )
        self._figures = Gauge(
            "taskapi_health_figure",
            "The numbers that the check found, as in /health/detailed.",
            ("check", "figure"),
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "taskapi_event_loop_lag_seconds",
            "How much later than asked for the event loop got to a timer, four times a second.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._circuits = Gauge(
            "taskapi_outgoing_circuit",
            "1 for the state of a host that failed when it was called, until it answers again.",
            ("host", "state"),
            registry=self.registry,
        )
        self._breakers = Gauge(
            "taskapi_breaker_open", "1 while a part is left alone because it failed.", ("part",), registry=self.registry
        )
        self.backups = BackupFigures(self.registry, configured=settings.backup_url is not None)
        # What labels() costs for each request, paid once for each combination.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """`route` is the template (`/tasks/{task_id}`), so that there are not more series than routes."""
        key = (route, method, status)
        found = self._known.get(key)
        if found is None:
            found = self._requests.labels(route, method, str(status)), self._seconds.labels(route, method)
            self._known[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def observe_check(self, name: str, *, healthy: bool, details: Mapping[str, object]) -> None:
        self._health.labels(name).set(healthy)
        self._figures.remove_by_labels({"check": name})
        for figure, value in details.items():
            if isinstance(value, (int, float)):
                self._figures.labels(name, figure).set(value)

    def observe_circuits(self, circuits: Iterable[Circuit]) -> None:
        """All that are known; what was known before and is not among them is well again."""
        self._circuits.clear()
        for circuit in circuits:
            self._circuits.labels(circuit.host, circuit.state).set(1)

    def breaker(self, name: str, breaker: Breaker) -> None:
        """Shows a circuit breaker of this process."""
        self._breakers.labels(name).set_function(lambda: float(breaker.is_open))

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """A figure that is read when the metrics are."""
        Gauge(name, documentation, registry=self.registry).set_function(read)

    def pools(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Shows the two pools of `Database.pool_figures`."""
        for name, figure, documentation in (
            ("size", "size", "Connections that the pool may open."),
            ("in_use", "checked_out", "Connections of the pool that are taken."),
            ("waiting", "waiting", "Callers that wait for a connection of the pool."),
        ):
            gauge = Gauge(f"taskapi_database_pool_{name}", documentation, ("pool",), registry=self.registry)
            for pool, prefix in (("statements", "pool"), ("transactions", "session_pool")):
                gauge.labels(pool).set_function(partial(_figure, read, f"{prefix}_{figure}"))

    def render(self) -> bytes:
        """Everything in the OpenMetrics text format."""
        return cast("bytes", generate_latest(self.registry))  # type: ignore[no-untyped-call]
