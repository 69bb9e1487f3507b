"""One service for each process: a loop checks, everybody else reads what it found."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import structlog

from app import SERVICE_NAME, __version__
from app.infra.circuits import Circuits
from app.infra.redis import RedisUnavailable
from app.kit.clock import utc_now
from app.kit.lifecycle import BackgroundLoop, Check, CheckFailed
from app.recovery.state import BackupState, backup_state
from app.worker.line import Line
from app.worker.proof import PROBE_SECONDS, Proof, last_proof

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from app.infra.database import Database
    from app.infra.metrics import Metrics
    from app.infra.settings import Settings

log = structlog.get_logger()

DATABASE_TIMEOUT = 1.5
"""Seconds: with a round each second, a frozen database shows within three."""
PROOF_MAX_AGE = 6.0 * PROBE_SECONDS
"""Seconds: workers and beat may miss five probes before they count as gone."""
BACKUPS_SECONDS = 30.0
"""How often it is looked what is known of backups."""
LOW_DISK = 0.2
HIGH_MEMORY = 0.8
RUNBOOKS = "docs/operations/runbooks"
"""Where the sources of this release explain each check, what its codes mean and what mends it."""


@dataclass(slots=True)
class Result:
    """What a check found last. `error` is None where it passed."""

    error: str | None = "not_checked"
    checked_at: datetime | None = None
    duration: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    _moment: float = -1e9

    def record(self, error: str | None, details: Mapping[str, object], duration: float) -> None:
        self.error, self.details, self.duration = error, details, duration
        self.checked_at, self._moment = utc_now(), time.monotonic()

    @property
    def age(self) -> float:
        return time.monotonic() - self._moment


class HealthService(BackgroundLoop):
    """A component: its loop asks at most once a second, and a result that has grown old counts as a failure."""

    name = "health"
    start_timeout = 10.0
    stop_timeout = 2.0

    def __init__(
        self, settings: Settings, *, database: Database, metrics: Metrics, checks: Sequence[Check] = ()
    ) -> None:
        self._settings = settings
        self._database = database
        self._metrics = metrics
        # A connection of its own: a probe must not wait for the requests', nor they for it.
        self._line = Line(settings, "health")
        self._interval = max(settings.health_check_interval, 1.0)
        self._proof: Proof | None = None
        self._backups, self._backups_read = BackupState(), -math.inf
        self._round = asyncio.Lock()
        self._last_round = -1e9
        self._first = [Check("database", self._check_database, DATABASE_TIMEOUT)]
        self._checks = [
            *checks,
            Check("celery_workers", self._check_workers, 1.0),
            Check("celery_beat", self._check_beat, 1.0),
            Check("disk_space", self._check_disk, 1.0),
            Check("memory", self._check_memory, 1.0),
        ]
        self.critical = [check.name for check in self.all_checks if check.name in settings.health_critical_checks]
        self.results = {check.name: Result() for check in self.all_checks}
        longest = max(check.timeout for check in self.all_checks)
        self.stale_after = self._interval + DATABASE_TIMEOUT + longest
        self.started_at = utc_now()

    @property
    def all_checks(self) -> list[Check]:
        return [*self._first, *self._checks]

    async def start(self) -> None:
        await self.check_now()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        self._line.close()

    def checks(self) -> list[Check]:
        return self.all_checks

    async def check_now(self) -> None:
        """One round, unless the last one is less than a second old."""
        async with self._round:
            if time.monotonic() - self._last_round < 1.0:
                return
            # The database first: what workers and beat have done is read with the same statement.
            for check in self._first:
                await self._check(check)
            await asyncio.gather(*(self._check(check) for check in self._checks))
            self._last_round = time.monotonic()

    def status_of(self, name: str) -> str:
        """healthy, degraded (it fails, but the service can do without) or unhealthy."""
        if self.error_of(name) is None:
            return "healthy"
        return "unhealthy" if name in self.critical else "degraded"

    def error_of(self, name: str) -> str | None:
        result = self.results[name]
        if result.error is None and result.age > self.stale_after:
            return "stale"
        return result.error

    def failed_critical(self) -> list[str]:
        return [name for name in self.critical if self.error_of(name) is not None]

    @property
    def status(self) -> str:
        statuses = {self.status_of(name) for name in self.results}
        return next((worst for worst in ("unhealthy", "degraded") if worst in statuses), "healthy")

    def summary(self, uptime: float) -> dict[str, Any]:
        """What anybody may know."""
        return {
            "status": self.status,
            "timestamp": utc_now(),
            "service": SERVICE_NAME,
            "version": __version__,
            "commit": self._settings.build_commit,
            "uptime_seconds": round(uptime, 3),
        }

    def report(self, uptime: float, phase: str) -> dict[str, Any]:
        """Every check with its figures."""
        return {
            **self.summary(uptime),
            "started_at": self.started_at,
            "phase": phase,
            "checks": {check.name: self._entry(check) for check in self.all_checks},
            "backups": asdict(self._backups),
        }

    def process_figures(self, uptime: float) -> dict[str, Any]:
        process = psutil.Process()
        with process.oneshot():
            times = process.cpu_times()
            return {
                "timestamp": utc_now(),
                "uptime_seconds": round(uptime, 3),
                "pid": os.getpid(),
                "memory_rss_bytes": process.memory_info().rss,
                "cpu_seconds": round(times.user + times.system, 2),
                "open_files": process.num_fds(),
                "threads": process.num_threads(),
                "database": self._database.pool_figures(),
            }

    def _entry(self, check: Check) -> dict[str, Any]:
        result = self.results[check.name]
        error = self.error_of(check.name)
        known = result.checked_at is not None and result.duration is not None
        return {
            "status": self.status_of(check.name),
            "critical": check.name in self.critical,
            "error": error,
            "runbook": f"{RUNBOOKS}/{check.name}.md" if error else None,
            "checked_at": result.checked_at,
            "age_seconds": round(result.age, 3) if known else None,
            "duration_ms": round((result.duration or 0.0) * 1000, 2) if known else None,
            "timeout_seconds": check.timeout,
            "details": dict(result.details),
        }

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.check_now()
            except Exception:
                log.exception("health_round_failed")

    async def _check(self, check: Check) -> None:
        began = time.perf_counter()
        error: str | None = None
        details: Mapping[str, object] = {}
        try:
            async with asyncio.timeout(check.timeout):
                details = await check.probe()
        except CheckFailed as failure:
            error, details = failure.code, failure.details
        except TimeoutError:
            error = "timeout"
        except (OSError, RedisUnavailable):
            error = "unreachable"
        except Exception as cause:
            error = "error"
            log.warning("health_check_error", check=check.name, error=type(cause).__name__, exc_info=cause)
        result = self.results[check.name]
        if error != result.error:
            say = log.info if error is None else log.warning
            say("health_check_changed", check=check.name, error=error, before=result.error, **details)
        result.record(error, details, time.perf_counter() - began)
        self._metrics.observe_check(check.name, healthy=error is None, details=details)

    async def _check_database(self) -> Mapping[str, object]:
        self._proof = None
        began = time.perf_counter()
        self._proof = await last_proof(self._line)
        took = time.perf_counter() - began
        self._metrics.observe_circuits(await Circuits(self._line.fetch).all())
        if time.monotonic() > self._backups_read + BACKUPS_SECONDS:
            self._backups, self._backups_read = await backup_state(self._line.fetch), time.monotonic()
            self._metrics.backups.observe(**asdict(self._backups))
        return {"query_ms": round(took * 1000, 2), **self._database.pool_figures()}

    async def _check_workers(self) -> Mapping[str, object]:
        return self._recent(self._proof.workers if self._proof else None)

    async def _check_beat(self) -> Mapping[str, object]:
        return self._recent(self._proof.beat if self._proof else None)

    def _recent(self, age: float | None) -> Mapping[str, object]:
        """Proof of work is recent work; a process that only says it is there proves nothing."""
        if self._proof is None:
            raise CheckFailed("database_unreachable")
        if age is None:
            raise CheckFailed("no_proof")
        details = {"last_proof_seconds_ago": round(age, 1)}
        if age > PROOF_MAX_AGE:
            raise CheckFailed("proof_too_old", **details)
        return details

    async def _check_disk(self) -> Mapping[str, object]:
        usage = await asyncio.to_thread(shutil.disk_usage, _existing(self._settings.storage_dir))
        free = usage.free / usage.total
        figures = {"total_bytes": usage.total, "free_bytes": usage.free, "free_ratio": round(free, 3)}
        if free < LOW_DISK:
            raise CheckFailed("low_disk_space", **figures)
        return figures

    async def _check_memory(self) -> Mapping[str, object]:
        memory = psutil.virtual_memory()
        used = 1 - memory.available / memory.total
        figures = {"total_bytes": memory.total, "available_bytes": memory.available, "used_ratio": round(used, 3)}
        if used > HIGH_MEMORY:
            raise CheckFailed("high_memory", **figures)
        return figures


def _existing(path: str) -> str:
    while not os.path.exists(path):  # noqa: PTH110  a plain walk up
        path = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
    return path
