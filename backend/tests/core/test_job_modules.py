from __future__ import annotations

import subprocess
import sys

_BOTH = """
from app.core.job_modules import HANDLER_MODULES, KIND_MODULES, load
from app.worker.kinds import HANDLERS, KINDS
load(KIND_MODULES)
declared = set(KINDS)
load(HANDLER_MODULES)
assert declared == set(KINDS), declared ^ set(KINDS)
assert set(HANDLERS) == {name for name, kind in KINDS.items() if not kind.parent}
"""
_API = """
import sys
from app.core.app_factory import create_app
create_app()
found = {"celery", "kombu", "billiard", "fpdf", "PIL"} & set(sys.modules)
assert not found, found
"""


def _alone(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_can_be_enqueued_is_what_workers_can_run() -> None:
    _alone(_BOTH)


def test_an_api_loads_nothing_that_only_workers_need() -> None:
    _alone(_API)
