"""The level of all processes, changed for a while: it stands in Redis, which forgets it when its time is over.

Every process looks every five seconds. Where Redis does not answer, what was heard last holds until its own time is over.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog
from pydantic_core import from_json, to_json

from app.infra import logging
from app.infra.settings import Settings
from app.kit.schema import rfc3339

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
_LONGEST_SECONDS = 24 * 3600
"""`taskapi log-level` asks for no more."""
BY_MAX = 200
"""Characters."""


class Change(NamedTuple):
    level: str
    by: str
    until: float
    """Seconds since 1970."""

    def told(self) -> dict[str, str]:
        return {"log_level": self.level, "by": self.by, "until": rfc3339(datetime.fromtimestamp(self.until, UTC))}


def key(settings: Settings) -> str:
    """Where it stands in Redis."""
    return f"{settings.redis_key_prefix}log-level"


def encode(change: Change) -> bytes:
    return to_json(change._asdict())


def decode(stored: Any) -> Change | None:
    """What stands in Redis; None where it is nothing, over, or not ours."""
    try:
        change = Change(**from_json(stored))
        known = (
            change.level in logging.LEVELS
            and isinstance(change.by, str)
            and len(change.by) <= BY_MAX
            and 0 < change.until - time.time() <= _LONGEST_SECONDS
        )
    except (ValueError, TypeError):
        return None
    return change if known else None


class LevelInForce:
    """What one process makes of it. Each change and its end is an event, at whatever level."""

    def __init__(self, settings: Settings) -> None:
        self._usual = settings.log_level
        self._change: Change | None = None

    def heed(self, stored: Any) -> None:
        self._apply(decode(stored))

    def nothing_heard(self) -> None:
        """Redis does not answer."""
        if self._change is not None and self._change.until <= time.time():
            self._apply(None)

    def _apply(self, change: Change | None) -> None:
        if change == self._change:
            return
        self._change = change
        logging.set_level(change.level if change else self._usual)
        log.critical("log_level_changed", **(change.told() if change else {"log_level": self._usual}))
