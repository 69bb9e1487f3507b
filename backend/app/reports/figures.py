"""What a report says, as numbers: made by the database, drawn by the writers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

AGES = ("up to 7 days", "8 to 30 days", "31 to 90 days", "91 to 365 days", "over a year")
LATENESS = ("today", "1 to 7 days", "8 to 30 days", "over 30 days")
SHARES = 12
"""People, and labels, with a line of their own; the rest share one."""
LATEST = 10
"""Overdue tasks that are named."""
_DAYS_IN_COLUMNS = 35
"""Longer periods are counted by week: more columns than that say nothing to the eye."""

Unit = Literal["day", "week"]


@dataclass(frozen=True, slots=True)
class Totals:
    """`created`, `done` and what follows of them are of the period; `open` and `overdue` of the moment."""

    created: int
    done: int
    created_before: int
    """In the period of the same length before."""
    done_before: int
    with_due: int
    """Done in the period and with a due date; `on_time` of these were done by then."""
    on_time: int
    median_days: float | None
    """From creation to done; None when nothing was done."""
    open: int
    overdue: int

    @property
    def on_time_percent(self) -> int | None:
        return round(100 * self.on_time / self.with_due) if self.with_due else None


@dataclass(frozen=True, slots=True)
class Bucket:
    day: date
    """The first one of the bucket that lies in the period."""
    created: int
    done: int


@dataclass(frozen=True, slots=True)
class Share:
    """A task with two people, or labels, counts for both."""

    name: str
    done: int
    open: int
    overdue: int

    @property
    def on_schedule(self) -> int:
        return self.open - self.overdue

    @property
    def total(self) -> int:
        return self.done + self.open


@dataclass(frozen=True, slots=True)
class Overdue:
    key: str
    title: str
    due: date
    days: int
    people: list[str]


@dataclass(frozen=True, slots=True)
class Figures:
    workspace: str
    since: date
    until: date
    zone: str
    made_at: datetime
    """In `zone`."""
    filters: list[tuple[str, str]]
    """What was asked for: `("Label", "spring, urgent")`."""
    totals: Totals
    throughput: list[Bucket]
    ages: list[int]
    """Open tasks by `AGES`."""
    lateness: list[int]
    """Overdue tasks by `LATENESS`."""
    people: list[Share]
    labels: list[Share]
    overdue: list[Overdue]

    @property
    def unit(self) -> Unit:
        return unit_of(self.since, self.until)

    @property
    def period(self) -> str:
        if self.since == self.until:
            return long_day(self.since)
        if self.since.year == self.until.year:
            return f"{self.since.day} {self.since:%B} to {long_day(self.until)}"
        return f"{long_day(self.since)} to {long_day(self.until)}"


def unit_of(since: date, until: date) -> Unit:
    return "day" if (until - since).days < _DAYS_IN_COLUMNS else "week"


def filled(since: date, until: date, counts: dict[date, tuple[int, int]]) -> list[Bucket]:
    """A bucket for each day, or each week from Monday, of the period; `counts` has those in which something happened."""
    step = timedelta(days=1 if unit_of(since, until) == "day" else 7)
    start = since if step.days == 1 else since - timedelta(days=since.weekday())
    starts = [start + step * index for index in range((until - start) // step + 1)]
    return [Bucket(max(day, since), *counts.get(day, (0, 0))) for day in starts]


def long_day(day: date) -> str:
    return f"{day.day} {day:%B} {day.year}"


def short_day(day: date) -> str:
    return f"{day.day} {day:%b}"
