"""The answers of the health routes: plain JSON, also when the news is bad."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.kit.schema import UtcTime

Status = Literal["healthy", "degraded", "unhealthy"]


class LiveOut(BaseModel):
    """The process answers."""

    status: Literal["alive"]


class ReadyOut(BaseModel):
    """Whether requests are served, by the last round of checks."""

    status: Literal["ready", "not_ready"]
    critical_checks: list[str] = Field(description="Checks whose failure makes the service not ready.")
    healthy_checks: list[str] = Field(description="Checks that pass.")
    failed_checks: list[str] = Field(description="Critical checks that fail; `lifecycle` while starting or draining.")
    checks: dict[str, str] = Field(description="Each check's status, `lifecycle` with the phase of the process.")


class StartupOut(BaseModel):
    """How far the start has come."""

    status: Literal["started", "starting", "draining", "stopped", "failed"]
    waiting_for: str | None = Field(description="What is being started.")
    detail: str | None = Field(description="What an operator can do about it.")


class HealthOut(BaseModel):
    """What anybody may know."""

    status: Status
    timestamp: UtcTime
    service: str
    version: str
    commit: str
    uptime_seconds: float


class CheckOut(BaseModel):
    """One check's last result."""

    status: Status
    critical: bool
    error: str | None = Field(description="A stable code; the log has the rest.")
    runbook: str | None = Field(description="The page of the release's sources that explains the code and what to do.")
    checked_at: UtcTime | None
    age_seconds: float | None
    duration_ms: float | None
    timeout_seconds: float
    details: dict[str, Any]


class BackupsOut(BaseModel):
    """What is known of backups, at most half a minute old."""

    taken_at: UtcTime | None = Field(description="When the newest was taken.")
    verified_at: UtcTime | None = Field(description="When one was last restored to prove it.")
    restore_seconds: float | None = Field(description="How long that took.")


class DetailedOut(HealthOut):
    """Every check, for operators."""

    started_at: UtcTime
    phase: str
    checks: dict[str, CheckOut]
    backups: BackupsOut


class ProcessOut(BaseModel):
    """Figures of this process."""

    timestamp: UtcTime
    uptime_seconds: float
    pid: int
    memory_rss_bytes: int
    cpu_seconds: float
    open_files: int
    threads: int
    database: dict[str, int]
