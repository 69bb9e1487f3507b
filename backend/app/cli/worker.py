"""`taskapi worker` and `taskapi beat`: Celery's own processes, with the options that ours need."""

from __future__ import annotations

import warnings

from celery.exceptions import SecurityWarning

from app.core.celery_app import app

_QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
"""What workers tell each other through Redis: nothing here depends on it."""


def run_worker() -> None:
    """Until SIGTERM; then running jobs have GRACEFUL_SECONDS to end before they are given back."""
    # Celery warns of root because a message could bring code; ours are JSON and say only "there is work".
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.start(["--quiet", "worker", "--pool=prefork", *_QUIET])


def run_beat() -> None:
    # No pid file: any number of beats may run.
    app.start(["--quiet", "beat", "--pidfile="])
