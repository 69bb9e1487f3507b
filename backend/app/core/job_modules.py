"""Which rooms have jobs."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

_ROOMS = ("calls", "files", "mail", "maintenance", "recovery", "reports", "tasks.attachments", "transfer", "usage")
KIND_MODULES = ("app.worker.proof", *(f"app.{room}.job_args" for room in _ROOMS))
"""Every module with kinds: what these declare can be enqueued and put on a schedule."""
HANDLER_MODULES = ("app.worker.proof", *(f"app.{room}.jobs" for room in _ROOMS))
"""Every module with handlers: what these register a worker can run. They load what only workers need."""


def load(modules: Sequence[str]) -> None:
    """Makes the kinds, or handlers, of these modules known to this process."""
    for module in modules:
        importlib.import_module(module)
