from datetime import timedelta

from app.reports.schemas import Wanted
from app.worker import JobArgs


class ReportArgs(
    Wanted,
    JobArgs,
    kind="report.generate",
    queue="reports",
    max_attempts=3,
    timeout=300,
    retention=timedelta(days=30),
    schedulable=True,
):
    """Makes a report of the job's workspace for whoever asked, who must be a member when it runs; the result is a file."""


class DailyArgs(JobArgs, kind="report.daily", queue="reports", priority=7, max_attempts=3, timeout=600):
    """Orders a report of the last whole day for the owner of each workspace in which something happened on it.

    Days are those of the schedule's zone.
    """


class WeeklyArgs(JobArgs, kind="report.weekly", queue="reports", priority=7, max_attempts=3, timeout=600):
    """Orders a report of the last whole week, Monday to Sunday, for the owner of each workspace in which something happened."""
