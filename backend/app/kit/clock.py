"""The one place that asks for the time of day."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
