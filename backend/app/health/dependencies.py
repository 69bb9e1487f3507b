"""The parts that the health routes read, and who may see details."""

import hmac
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from app.health.figures import Figures
from app.health.service import HealthService
from app.identity.dependencies import SuperuserRequired, authenticate
from app.infra.metrics import Metrics


class Lifecycle(Protocol):
    """What the routes need of the manager on the roof."""

    phase: str
    step: str
    waiting_because: str | None
    failure: str | None

    @property
    def uptime(self) -> float: ...


async def get_health(request: Request) -> HealthService:
    return cast("HealthService", request.app.state.health)


async def get_lifecycle(request: Request) -> Lifecycle:
    return cast("Lifecycle", request.app.state.lifecycle)


async def get_metrics(request: Request) -> Metrics:
    return cast("Metrics", request.app.state.metrics)


async def get_figures(request: Request) -> Figures:
    return cast("Figures", request.app.state.figures)


class _Operator(SecurityBase):
    """Lets a scrape with the token in, and a superuser."""

    model = HTTPBearer(description="`SCRAPE_TOKEN`, for monitoring systems.")
    scheme_name = "scrape_token"

    async def __call__(self, request: Request) -> None:
        token = request.app.state.settings.scrape_token
        sent = request.headers.get("authorization", "").encode()
        if token is not None and hmac.compare_digest(sent, f"Bearer {token.get_secret_value()}".encode()):
            return
        if not (await authenticate(request)).is_superuser:
            raise SuperuserRequired


HealthDep = Annotated[HealthService, Depends(get_health)]
LifecycleDep = Annotated[Lifecycle, Depends(get_lifecycle)]
MetricsDep = Annotated[Metrics, Depends(get_metrics)]
FiguresDep = Annotated[Figures, Depends(get_figures)]
OperatorOnly = Depends(_Operator())
"""A superuser, or a monitoring system with the scrape token."""
