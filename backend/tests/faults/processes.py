"""The entry points of the processes under test: those of the product, with the kinds, the route and the fail points of the rows.

`python -m tests.faults.processes worker|beat|api`. The product itself has no fail points to leave switched on.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from app.cli.worker import _QUIET
from app.core import beat
from app.core.app_factory import create_app
from app.core.celery_app import TaskApi
from app.core.job_modules import HANDLER_MODULES
from app.core.server import serve
from app.identity.dependencies import CurrentCaller
from app.infra.broker import Broker
from app.infra.settings import Settings
from app.kit import clock
from app.kit.errors import Conflict
from app.schedules.builtin import BuiltIn
from app.web.routing import Route
from app.web.session import SessionDep
from app.worker import enqueue
from tests.faults.kinds import WorkArgs
from tests.faults.migrator import add_revisions

FAIL_POINT = "FAULTS_FAIL_POINT"
CLOCK_SHIFT = "FAULTS_CLOCK_SHIFT"
EVERY_SECOND = BuiltIn("faults-slot", "faults.slot", 1)

router = APIRouter(prefix="/faults", route_class=Route)


class Enqueued(BaseModel):
    ids: list[UUID]


class RolledBack(Conflict):
    code, title = "rolled_back", "The request failed after it had enqueued"


class Wanted(BaseModel):
    jobs: int = 1
    seconds: float = 0
    silent: bool = False
    fail: bool = False
    """Whether the request fails once everything is enqueued."""


@router.post("/jobs", status_code=202)
async def add_jobs(caller: CurrentCaller, session: SessionDep, wanted: Wanted) -> Enqueued:
    args = WorkArgs(seconds=wanted.seconds, silent=wanted.silent)
    added = [(await enqueue(session, args, created_by=caller.user_id)).id for _ in range(wanted.jobs)]
    if wanted.fail:
        raise RolledBack
    return Enqueued(ids=added)


@router.get("/slow", status_code=204)
async def be_slow(_: CurrentCaller, session: SessionDep, seconds: float) -> None:
    await session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(app: Any, point: Literal["after_commit", "before_publish", "after_publish"]) -> None:
    """The process dies at this point of the first request that enqueues."""
    if point == "after_commit":
        app.state.database.listeners.insert(0, _die)  # told of each commit that enqueued, before the relay
        return
    send: Callable[..., None] = Broker.send

    def sending(self: Broker, tokens: Any) -> None:
        if point == "after_publish":
            send(self, tokens)
        _die()

    Broker.send = sending  # type: ignore[method-assign]


def _shift_clock(seconds: float) -> None:
    """This process believes in another time: every use of the wall clock goes through these two."""
    now, wall = clock.utc_now, time.time

    def shifted() -> datetime:
        return now() + timedelta(seconds=seconds)

    for module in list(sys.modules.values()):
        if getattr(module, "utc_now", None) is now:
            module.utc_now = shifted  # type: ignore[attr-defined]
    time.time = lambda: wall() + seconds


def main(role: str) -> int | None:
    if shift := os.environ.get(CLOCK_SHIFT):
        _shift_clock(float(shift))
    add_revisions()
    if role == "api":
        app = create_app(Settings())
        app.include_router(router)
        if point := os.environ.get(FAIL_POINT):
            _arm(app, point)  # type: ignore[arg-type]
        return serve(app)
    celery = TaskApi(handler_modules=(*HANDLER_MODULES, "tests.faults.kinds"))
    if role == "worker":
        celery.start(["--quiet", "worker", "--pool=prefork", *_QUIET])
    else:
        beat.BUILT_IN = (*beat.BUILT_IN, EVERY_SECOND)  # type: ignore[assignment]
        celery.start(["--quiet", "beat", "--pidfile="])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
