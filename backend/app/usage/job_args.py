from app.worker import JobArgs


class RefreshStatsArgs(JobArgs, kind="maintenance.refresh_stats", priority=8, max_attempts=2, timeout=240):
    """Counts what each workspace uses in this month: tasks, members, bytes of stored files, jobs."""


class BillingArgs(JobArgs, kind="billing.usage", priority=7, max_attempts=5, timeout=240):
    """Closes the usage statements of the month that is over; nothing changes them after that."""
