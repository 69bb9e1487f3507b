"""`taskapi profile`: where a running process spends its time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import typer

from app.infra import profiling

_OURS = ("app.cli", "app.main:app", "app.core.celery_app", "app.worker.reconciler")
"""One of these stands in the command line of each process that can be profiled."""


def run_profile(pid: int | None, *, seconds: float, output: Path | None) -> None:
    """Exit code 1 when the process does not answer, 2 without a process: then those that there are are listed."""
    if pid is None:
        sys.stderr.write("profile: which process?\n")
        sys.stderr.writelines(_listing())
        raise typer.Exit(2)
    try:
        seen = profiling.record(pid, seconds)
    except profiling.NoAnswerError:
        _fail(
            f"{pid} does not answer: it must be an api, worker or beat of this user, in this container, under this TMPDIR"
        )
    except OSError as error:
        _fail(str(error))
    text = "".join(f"{stack.decode()} {count}\n" for stack, count in seen.most_common())
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text)
    sys.stderr.write(f"profile: {seen.total()} stacks of {pid}, in the form that https://speedscope.app opens\n")


def _listing() -> Iterator[str]:
    for process in psutil.process_iter(["pid", "uids", "cmdline", "cpu_times"]):
        about = process.info
        command = about["cmdline"] or []
        if process.pid != os.getpid() and about["uids"].real == os.getuid() and any(word in _OURS for word in command):
            seconds = about["cpu_times"].user + about["cpu_times"].system
            yield f"{process.pid:>8}  {seconds:8.1f} s of CPU  {' '.join(command)[:80]}\n"


def _fail(reason: str) -> NoReturn:
    sys.stderr.write(f"profile: {reason}\n")
    raise typer.Exit(1)
