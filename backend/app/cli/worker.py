"""`taskapi worker` and `taskapi beat`: Celery's own processes, with the options that ours need."""

from __future__ import annotations

import asyncio
import sys
import warnings

import typer

from app.cli.configuration import read_settings
from app.infra import migrations
from app.infra.database import Database
from app.infra.settings import REFUSED, Settings
from app.worker import memory, proof
from app.worker.line import Line

_QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
"""What workers tell each other through Redis: nothing here depends on it."""


def run_worker() -> None:
    """Until SIGTERM; then running jobs have GRACEFUL_SECONDS to end before they are given back."""
    from celery.exceptions import SecurityWarning

    from app.core.celery_app import app

    _may_start("worker")
    try:
        limit = memory.of_pool_process(app.our_settings, memory.of_container())
    except memory.NotEnough as error:
        sys.stderr.write(f"refused to start: {error}\n")
        raise typer.Exit(REFUSED) from None

    # Celery warns of root because a message could bring code; ours are JSON and say only "there is work".
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.start(["--quiet", "worker", "--pool=prefork", f"--max-memory-per-child={limit >> 10}", *_QUIET])


def run_beat() -> None:
    from app.core.celery_app import app

    _may_start("beat")
    # No pid file: any number of beats may run.
    app.start(["--quiet", "beat", "--pidfile="])


def _may_start(name: str) -> None:
    """Waits for the schema. Exits 3, with one line, when STARTUP_TIMEOUT is over, and with one for each unsafe setting."""
    settings = read_settings()
    settings.refuse_unsafe()
    try:
        asyncio.run(migrations.wait_usable(settings))
    except migrations.MigrationError as error:
        sys.stderr.write(f"{name}: not started: {error}\n")
        raise typer.Exit(REFUSED) from None


PROOF_SECONDS = 4 * proof.PROBE_SECONDS


def prove_worker() -> None:
    """Exits 1 unless a probe ends within PROOF_SECONDS in each queue of WORKER_QUEUES, whichever worker runs it."""

    async def prove() -> bool:
        settings = Settings()
        database = Database(settings)
        await database.start()
        try:
            return await proof.prove_queues(database, settings.worker_queues, PROOF_SECONDS)
        finally:
            await database.stop()

    _tell("worker", proven=asyncio.run(prove()))


def prove_beat() -> None:
    """Exits 1 unless a beat handles a slot within PROOF_SECONDS."""

    async def prove() -> bool:
        line = Line(Settings(), "prove")
        try:
            return await proof.prove_beat(line, PROOF_SECONDS)
        finally:
            line.close()

    _tell("beat", proven=asyncio.run(prove()))


def _tell(name: str, *, proven: bool) -> None:
    if not proven:
        sys.stderr.write(f"{name}: no proof of work within {PROOF_SECONDS} s\n")
        raise typer.Exit(1)
    sys.stdout.write(f"{name}: has proven that it works\n")
