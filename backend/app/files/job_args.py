"""What the jobs of stored files are told."""

from datetime import timedelta

from app.worker import JobArgs


class SyncArgs(JobArgs, kind="files.sync", priority=8, max_attempts=1, timeout=840, retention=timedelta(days=1)):
    """Deletes stored bytes that no row names, reports rows whose bytes are missing. The next slot is the next attempt."""
