from datetime import timedelta

from app.worker import JobArgs


class CleanupArgs(
    JobArgs, kind="maintenance.cleanup", priority=8, max_attempts=1, timeout=240, retention=timedelta(days=1)
):
    """Deletes what has expired. The next slot is the next attempt."""
