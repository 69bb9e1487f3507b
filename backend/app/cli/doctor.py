"""`taskapi doctor`: what an operator should know, on one screen."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import structlog
import typer
from pydantic_core import to_json

from app.cli import examinations
from app.cli.configuration import read_settings

if TYPE_CHECKING:
    from app.cli.examinations import Finding, Installation
    from app.infra.settings import Settings

_NOT_NEEDED = {"mail", "backups"}
"""What a release starts and serves without, so that a fault there is no reason against a deployment, nor a way back."""
_MARKS = {"ok": "ok", "warning": "warn", "fault": "FAULT", "skipped": "-"}


def run_doctor(installation: Installation, *, before_start: bool, as_json: bool) -> None:
    """Prints what it finds; exit code 1 when one of the findings is a fault."""
    structlog.configure(processors=[_drop])  # the findings say it
    findings = asyncio.run(_examine(read_settings(), installation, before_start=before_start))
    count = Counter(finding.level for finding in findings)
    if as_json:
        report = {"ok": not count["fault"], "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(to_json(report, indent=2).decode() + "\n")
    else:
        for finding in findings:
            sys.stdout.write(_lines(finding))
        sys.stdout.write(f"{count['fault']} faults, {count['warning']} warnings\n")
    raise typer.Exit(1 if count["fault"] else 0)


def _drop(*_: object) -> dict[str, object]:
    raise structlog.DropEvent


async def _examine(settings: Settings, installation: Installation, *, before_start: bool) -> list[Finding]:
    parts = [
        examinations.settings_(settings),
        examinations.database(settings, installation),
        examinations.redis(settings),
        examinations.storage(settings),
        examinations.mail(settings),
        examinations.backups(settings),
        examinations.certificate(installation),
        *([] if before_start else [examinations.work(settings)]),
    ]
    findings = [finding for part in parts async for finding in part]
    return [_before_start(finding) for finding in findings] if before_start else findings


def _before_start(finding: Finding) -> Finding:
    late = finding.level == "fault" and finding.part in _NOT_NEEDED
    return replace(finding, level="warning") if late else finding


def _lines(finding: Finding) -> str:
    todo = f"{'':<20}-> {finding.todo}\n" if finding.todo else ""
    return f"{_MARKS[finding.level]:<7}{finding.part:<13}{finding.found}\n{todo}"
