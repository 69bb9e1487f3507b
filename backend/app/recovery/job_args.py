from datetime import timedelta

from app.worker import JobArgs

_LONG = 6 * 3600.0


class CreateArgs(
    JobArgs, kind="backup.create", queue="slow", priority=8, max_attempts=3, timeout=_LONG, retention=timedelta(days=30)
):
    """Makes a backup at `BACKUP_URL`, then deletes those that `BACKUP_KEEP` and `BACKUP_KEEP_DAYS` do not keep."""


class VerifyArgs(
    JobArgs, kind="backup.verify", queue="slow", priority=8, max_attempts=3, timeout=_LONG, retention=timedelta(days=30)
):
    """Restores the newest backup beside the present database, compares everything, and notes how long it took."""
