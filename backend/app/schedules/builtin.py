"""The schedules that come with the product. A beat brings the table in line with these when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.worker.proof import PROBE_SECONDS


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A kind that needs no args, and either an interval or a cron expression; the rest as in `models.Schedule`."""

    name: str
    kind: str
    interval_seconds: int | None = None
    cron: str | None = None
    time_zone: str = "UTC"
    jitter_seconds: int = 0
    misfire: str = "run_once"
    overlap: str = "skip"

    def timing(self) -> dict[str, Any]:
        """The columns that an operator may change."""
        return {
            "interval_seconds": self.interval_seconds,
            "cron": self.cron,
            "rrule": None,
            "starts_at": None,
            "time_zone": self.time_zone,
            "jitter_seconds": self.jitter_seconds,
        }


BUILT_IN = (
    BuiltIn("health-probe", "health.probe", PROBE_SECONDS),
    BuiltIn("cleanup", "maintenance.cleanup", 300),
    BuiltIn("files-sync", "files.sync", 900),
    BuiltIn("daily-report", "report.daily", cron="0 0 * * *"),
    BuiltIn("weekly-report", "report.weekly", cron="0 8 * * mon"),
    BuiltIn("statistics", "maintenance.refresh_stats", cron="0 * * * *"),
    BuiltIn("monthly-usage", "billing.usage", cron="10 0 1 * *"),
)

BACKUPS = (
    BuiltIn("backup", "backup.create", cron="30 2 * * *"),
    BuiltIn("backup-proof", "backup.verify", cron="30 4 * * sun"),
)
"""These too where there is a BACKUP_URL."""
