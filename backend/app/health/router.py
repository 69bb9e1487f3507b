"""Probes for machines (`/health/live`, `/health/ready`, `/health/startup`), figures for operators."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic_core import to_json

from app.health.dependencies import FiguresDep, HealthDep, LifecycleDep, MetricsDep, OperatorOnly
from app.health.schemas import DetailedOut, HealthOut, LiveOut, ProcessOut, ReadyOut, StartupOut
from app.identity.dependencies import CurrentSuperuser
from app.infra.metrics import CONTENT_TYPE
from app.web.routing import Route

router = APIRouter(tags=["health"], route_class=Route)

_ALIVE = b'{"status":"alive"}'
_RETRY = {"Retry-After": "1"}
_OR_SUPERUSER: dict[str, Any] = {"security": [{"access_token": []}]}
"""Beside the scrape token, which the dependency declares."""


def _answer(content: dict[str, Any], *, well: bool = True) -> Response:
    return Response(to_json(content), 200 if well else 503, None if well else _RETRY, "application/json")


@router.get("/health", response_model=HealthOut, summary="Say how the service is")
async def get_health_summary(health: HealthDep, lifecycle: LifecycleDep) -> Response:
    """Say in one word how the service is, by the last round of checks."""
    return _answer(health.summary(lifecycle.uptime))


@router.get("/health/live", response_model=LiveOut, summary="Liveness probe")
async def check_liveness() -> Response:
    """Answer from the event loop alone: restarting the process would not help anything that this does not show."""
    return Response(_ALIVE, media_type="application/json")


@router.get(
    "/health/ready",
    response_model=ReadyOut,
    responses={503: {"model": ReadyOut, "description": "Not ready"}},
    summary="Readiness probe",
)
async def check_readiness(health: HealthDep, lifecycle: LifecycleDep) -> Response:
    """Say whether to send requests here: the value of the last round, at most a few seconds old."""
    content = readiness(health, lifecycle.phase)
    return _answer(content, well=content["status"] == "ready")


def readiness(health: HealthDep, phase: str) -> dict[str, Any]:
    """The body of `/health/ready`."""
    checks = {name: health.status_of(name) for name in health.results}
    failed = health.failed_critical()
    if phase != "started":
        failed = ["lifecycle", *failed]
        checks["lifecycle"] = phase
    return {
        "status": "not_ready" if failed else "ready",
        "critical_checks": health.critical,
        "healthy_checks": [name for name, status in checks.items() if status == "healthy"],
        "failed_checks": failed,
        "checks": checks,
    }


@router.get(
    "/health/startup",
    response_model=StartupOut,
    responses={503: {"model": StartupOut, "description": "Not started"}},
    summary="Startup probe",
)
async def check_startup(lifecycle: LifecycleDep) -> Response:
    """Say whether the process has started, and what it waits for."""
    content = {
        "status": lifecycle.phase,
        "waiting_for": lifecycle.step or None,
        "detail": lifecycle.failure or lifecycle.waiting_because,
    }
    return _answer(content, well=lifecycle.phase in {"started", "draining"})


@router.get(
    "/health/detailed",
    response_model=DetailedOut,
    responses={503: {"model": DetailedOut, "description": "A critical check fails"}},
    dependencies=[OperatorOnly],
    openapi_extra=_OR_SUPERUSER,
    summary="Show every check",
)
async def get_health_details(health: HealthDep, lifecycle: LifecycleDep) -> Response:
    """Show every check with its figures. For a superuser or the scrape token."""
    report = health.report(lifecycle.uptime, lifecycle.phase)
    return _answer(report, well=report["status"] != "unhealthy")


@router.get("/health/metrics", response_model=ProcessOut, summary="Show the figures of this process")
async def get_process_figures(_: CurrentSuperuser, health: HealthDep, lifecycle: LifecycleDep) -> Response:
    """Show this process's figures as JSON. For a superuser; Prometheus reads `/metrics`."""
    return _answer(health.process_figures(lifecycle.uptime))


@router.post("/health/checks/run", response_model=DetailedOut, summary="Run the checks now")
async def run_health_checks(_: CurrentSuperuser, health: HealthDep, lifecycle: LifecycleDep) -> Response:
    """Check now instead of at the next round, at most once a second. For a superuser."""
    await health.check_now()
    return _answer(health.report(lifecycle.uptime, lifecycle.phase))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}},
    dependencies=[OperatorOnly],
    openapi_extra=_OR_SUPERUSER,
    summary="Expose figures for Prometheus",
)
async def get_metrics_text(metrics: MetricsDep, figures: FiguresDep) -> Response:
    """Expose all figures in the OpenMetrics format. For a superuser or the scrape token."""
    await figures.refresh()
    return Response(metrics.render(), media_type=CONTENT_TYPE)
