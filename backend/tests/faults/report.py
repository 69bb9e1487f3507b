"""`docs/operations/fault-report.md`: a line for each row, with what was run and what came of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from app.kit.clock import utc_now
from tests.faults.rows import ROWS
from tests.faults.trial import Measure, Trial

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "operations" / "fault-report.md"
_MARK = "<!-- results "
_HEAD = """\
# Fault report

<!-- Written by `./run faults`: do not edit. -->

Each fault is tried on real processes: workers, beats and apis, a PostgreSQL with a database of the row's own, a Valkey of its own, a TCP proxy before each.
Three witnesses judge, none of them the code that is tried: the **ledger** (jobs and tasks as they were acknowledged), **triggers** in the
database (every state that a job went through; at each commit of an effect, whether its attempt still held the job) and the **sink** (calls to the world
outside, with their keys). A row passes when they agree and every time is within the criterion. Leases, heartbeats and pauses are the
product's defaults. Times are in seconds: p50 / p99 / p100.

F23 has nginx before the apis, with the files of `nginx/`, and is not run where there is no nginx; F28 and F29 have a PostgreSQL of their own. Not here: two hosts. All processes of a row share one machine with the witnesses.
"""


def _described(name: str, measure: Measure) -> str:
    if not measure.seconds:
        return f"{name}: none"
    return f"{name} ({len(measure.seconds)}): " + " / ".join(f"{measure.at(percent):.3f}" for percent in (50, 99, 100))


def failed(trial: Trial) -> bool:
    return bool(trial.failures or (trial.exceeded and not trial.quick))


def line_of(trial: Trial) -> str:
    if trial.not_run is not None:
        return f"{trial.row.name}: not run: {trial.not_run}"
    times = "; ".join(_described(name, measure) for name, measure in trial.measures.items())
    verdict = "FAILED" if failed(trial) else "passed"
    found = [*trial.failures[:3], *trial.exceeded, *trial.notes]
    return (
        f"{trial.row.name}: {verdict}, {trial.rounds} {trial.row.unit}, {len(trial.failures)} failures, {trial.seconds:.0f} s"
        + (f"; {times}" if times else "")
        + "".join(f"\n    {one[:600]}" for one in found)
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", "backend") else "")


def _known() -> dict[str, Any]:
    if not PAGE.exists():
        return {}
    line = next((line for line in PAGE.read_text().splitlines() if line.startswith(_MARK)), None)
    return json.loads(line.removeprefix(_MARK).removesuffix(" -->")) if line else {}


def write(trial: Trial, command: str) -> None:
    """Puts this row's result in its place of the page, where it was run."""
    if trial.not_run is not None:
        return
    results = _known()
    results[trial.row.name] = {
        "verdict": "failed" if failed(trial) else "passed",
        "rounds": trial.rounds,
        "failures": len(trial.failures),
        "times": [_described(name, measure) for name, measure in trial.measures.items()],
        "notes": [
            one[:300].replace("|", "/").replace("\n", " ")
            for one in (*trial.failures[:2], *trial.exceeded, *trial.notes)
        ],
        "seconds": round(trial.seconds),
        "load": round(trial.load, 1),
        "commit": _commit(),
        "at": f"{utc_now():%Y-%m-%d %H:%M}",
        "command": command,
    }
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(_page({name: results[name] for name in ROWS if name in results}))


def _page(results: dict[str, Any]) -> str:
    lines = [
        "| Row | Fault | Criterion | Rounds run (full) | Failures | Times | Result |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in ROWS.items():
        got = results.get(name)
        full = f"{got['rounds'] if got else 0} ({one.rounds}) {one.unit}"
        if got is None:
            lines.append(f"| {name} | {one.fault} | {one.criterion} | {full} | | | not run |")
            continue
        times = "<br>".join(got["times"])
        result = "<br>".join([f"**{got['verdict']}**", *got["notes"]])
        lines.append(f"| {name} | {one.fault} | {one.criterion} | {full} | {got['failures']} | {times} | {result} |")
    runs = ["| Row | When (UTC) | Commit | Command | Took | Load before |", "|---|---|---|---|---|---|"]
    runs += [
        f"| {name} | {got['at']} | `{got['commit']}` | `{got['command']}` | {got['seconds']} s | {got.get('load', '')} |"
        for name, got in results.items()
    ]
    machine = (
        f"Machine: {os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, Python {platform.python_version()}."
    )
    marked = f"{_MARK}{json.dumps(results)} -->"
    note = (
        "`+` after a commit: with changes that were not committed yet. Load: how many processes wanted a CPU in the minute "
        "before, on average; above the number of CPUs the times are those of a machine that is busy with other things."
    )
    return "\n\n".join([_HEAD.rstrip(), "\n".join(lines), "## Runs", machine, "\n".join(runs), note, marked]) + "\n"
