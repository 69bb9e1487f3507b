"""`./run faults [ROW...] [--rounds N]`: see --help."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys

from tests.faults import report
from tests.faults.load import RATE
from tests.faults.rows import ROWS
from tests.faults.trial import Trial


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./run faults",
        description="Tries the faults of docs/operations/fault-report.md on real processes and writes that page: each row that "
        "was tried now replaces its line there.",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{' '.join(ROWS)}; all by default")
    parser.add_argument("--rounds", type=int, help="instead of the full number of each row")
    parser.add_argument("--rate", type=int, default=RATE, help=f"requests a second, for rows under load ({RATE})")
    parser.add_argument("--quick", action="store_true", help="short leases and pauses; nothing is measured or written")
    parser.add_argument("--no-page", action="store_true", help="print only")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.rows if name not in ROWS]:
        parser.error(f"there is no row {' '.join(unknown)}")
    trials = []
    for name in asked.rows or ROWS:
        trial = Trial(
            ROWS[name], os.environ["TEST_DATABASE_URL"], asked.rounds, _say, quick=asked.quick, rate=asked.rate
        )
        _say(f"{name}: {trial.row.fault}")
        asyncio.run(trial.run())
        trials.append(trial)
        _say(report.line_of(trial))
        if not asked.quick and not asked.no_page:
            report.write(trial, shlex.join(["./run", "faults", *arguments]))
    return 1 if any(report.failed(trial) for trial in trials) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
