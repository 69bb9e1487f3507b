"""Builds the api process: its parts, its routes, what is wrapped around them."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import __version__
from app.admin import router as admin
from app.auth import router as auth
from app.core import docs, exception_handlers, openapi
from app.core.job_modules import KIND_MODULES, load
from app.core.level_watch import LevelWatch
from app.core.lifecycle import AppLifecycleManager
from app.core.loop_lag import LoopLag
from app.core.middleware import HttpMiddleware
from app.core.schema_gate import SchemaGate
from app.health import router as health
from app.health.figures import Figures
from app.health.service import HealthService
from app.identity.parts import make_identity
from app.infra import logging, profiling, tracing
from app.infra.broker import Broker
from app.infra.database import Database
from app.infra.metrics import Metrics
from app.infra.redis import Redis
from app.infra.settings import Settings
from app.infra.storage import Storage
from app.jobs import router as jobs
from app.kit.pagination import CursorCodec
from app.labels import router as labels
from app.mailings import router as mailings
from app.projects import router as projects
from app.reports import router as reports
from app.schedules import router as schedules
from app.tasks import router as tasks
from app.tasks.attachments import router as attachments
from app.tasks.comments import router as comments
from app.transfer import router as transfer
from app.usage import router as usage
from app.web.rate_limits import RateLimiter
from app.worker.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MULTIPART_SLACK = 65_536
"""What a form adds to the file in it: boundaries, part headers, the other fields."""
_EXPOSED = [
    "ETag", "Location", "X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy", "Idempotency-Replayed",
    "Content-Disposition", "Content-Range",
]  # fmt: skip
_ACCEPTED = [
    "Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-ID", "Range", "If-Range",
    "Last-Event-ID",
]  # fmt: skip
_METHODS = ("GET", "POST", "PATCH", "DELETE")
_ROOMS = (
    tasks, comments, attachments, projects, labels, jobs, auth, transfer, schedules, reports, mailings, usage, admin,
    health,
)  # fmt: skip


def create_app(settings: Settings | None = None) -> FastAPI:
    """The api. Nothing is connected before its lifespan runs.

    In production unsafe settings end the process here, with a line for each and exit code 3.
    """
    settings = settings or Settings()
    settings.refuse_unsafe()
    logging.configure(settings.log_level, settings.log_format)
    app = FastAPI(
        title="Task Management API",
        version=__version__,
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        servers=[{"url": settings.public_url}],
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # What it would tell is in our own metrics and log, with the ids of the request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=_lifespan,
    )
    load(KIND_MODULES)
    _make_parts(app, settings)
    _add_routes(app, settings)
    openapi.install(app)
    exception_handlers.install(app)
    _wrap(app, settings)
    return app


def _make_parts(app: FastAPI, settings: Settings) -> None:
    state = app.state
    state.settings = settings
    state.metrics = Metrics(settings)
    state.cursors = CursorCodec(settings.secret_key.get_secret_value().encode())
    state.database = Database(settings)
    state.schema_gate = SchemaGate(state.database, settings)
    state.redis = Redis(settings)
    state.rate_limiter = RateLimiter(state.redis, settings)
    state.identity = make_identity(state.database, settings)
    state.storage = Storage(settings)
    state.relay = Relay(state.database, Broker(settings))
    state.figures = Figures(settings, state.metrics.registry)
    state.metrics.pools(state.database.pool_figures)
    for name, part in (("redis", state.redis), ("relay", state.relay)):
        state.metrics.breaker(name, part.breaker)
    state.health = HealthService(settings, database=state.database, metrics=state.metrics, checks=state.redis.checks())
    parts = [state.database, state.schema_gate, state.redis, state.relay, state.identity.hasher]
    state.lifecycle = AppLifecycleManager(
        [LoopLag(state.metrics.loop_lag), *parts, LevelWatch(settings, state.redis), state.health],
        startup_timeout=settings.startup_timeout,
        teardown_seconds=settings.teardown_seconds,
        on_failure=_end_process,
    )


def _add_routes(app: FastAPI, settings: Settings) -> None:
    for room in _ROOMS:
        # Not `include_router`: that would look for the route of each request twice, and in layers.
        app.router.routes.extend(room.router.routes)
    if settings.docs_enabled:
        docs.add_pages(app)


def _wrap(app: FastAPI, settings: Settings) -> None:
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=settings.cors_allow_credentials,
            allow_methods=_METHODS,
            allow_headers=_ACCEPTED,
            expose_headers=_EXPOSED,
        )
    app.add_middleware(
        HttpMiddleware,
        settings=settings,
        lifecycle=app.state.lifecycle,
        metrics=app.state.metrics,
        body_limits={
            ("POST", "import"): settings.import_max_bytes + _MULTIPART_SLACK,
            ("POST", "attachments"): settings.attachment_max_bytes + _MULTIPART_SLACK,
        },
    )
    if settings.trusted_proxies:
        # The client is the right-most address of X-Forwarded-For that is not one of these.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Starts in the background, because the server listens only once this has yielded: the probes answer meanwhile."""
    lifecycle: AppLifecycleManager = app.state.lifecycle
    profiling.offer()
    tracing.start(app.state.settings, "api")
    lifecycle.begin()
    try:
        yield
    finally:
        await lifecycle.stop()
        app.state.figures.close()
        await asyncio.to_thread(tracing.stop)


def _end_process() -> None:
    """The start has failed for good: the server, if there is one, is told to stop."""
    if callable(signal.getsignal(signal.SIGTERM)):
        signal.raise_signal(signal.SIGTERM)
