"""When a schedule is due: pure computation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HISTORY = timedelta(days=7)
"""Slots that were missed longer ago are not written down any more: their history would be pruned at once."""
CATCH_UP_LIMIT = 100
"""Missed slots that `catch_up` makes up for, the latest ones."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about a schedule now: these slots run, those were missed, and the next one comes then."""

    run: list[datetime]
    missed: list[datetime]
    next_slot: datetime


def next_slot(interval: timedelta, after: datetime) -> datetime:
    """The first slot later than `after`; slots are whole intervals since 1970, the same for every beat."""
    return _EPOCH + ((after - _EPOCH) // interval + 1) * interval


def due(interval: timedelta, misfire: str, planned: datetime, now: datetime) -> Due:
    """`planned` is the next slot as it was written down; `misfire` decides about those that nobody handled in time."""
    first = max(planned, next_slot(interval, now - HISTORY))
    slots = [first + index * interval for index in range((now - first) // interval + 1)]
    if misfire == "catch_up":
        run = slots[-CATCH_UP_LIMIT:]
    elif misfire == "run_once" or now - slots[-1] < interval:
        run = slots[-1:]
    else:
        run = []
    return Due(run, slots[: len(slots) - len(run)], next_slot(interval, now))
