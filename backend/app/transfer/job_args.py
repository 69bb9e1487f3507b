"""What an import job is told."""

from datetime import timedelta
from typing import Literal

from app.kit.schema import Id
from app.transfer.model import Format
from app.worker import JobArgs


class ImportArgs(
    JobArgs, kind="tasks.import", queue="slow", max_attempts=3, timeout=1800.0, retention=timedelta(days=30)
):
    """`mapping` is the form field as it came: it was read once already, so it is valid."""

    file_id: Id
    workspace_id: Id
    project_id: Id | None = None
    format: Format
    mapping: str | None = None
    dry_run: bool = False
    on_error: Literal["report", "abort"] = "report"


class ExportArgs(
    JobArgs,
    kind="tasks.export",
    queue="slow",
    max_attempts=3,
    timeout=3600.0,
    retention=timedelta(days=7),
    schedulable=True,
):
    """Makes a zip file of the job's workspace: its tasks as our own JSON, and their attachments; the result is a file."""
