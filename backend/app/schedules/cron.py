"""Cron expressions of five fields, as wall-clock times: `*/5 8-18 * * mon-fri`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from app.kit.errors import InvalidInput, invalid

_MONTHS = dict(
    zip(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
        range(1, 13),
        strict=True,
    )
)
_WEEKDAYS = dict(zip(("sun", "mon", "tue", "wed", "thu", "fri", "sat"), range(7), strict=True))
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _WEEKDAYS),
)
_PART = re.compile(r"(?:\*|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\d{1,2}))?", re.ASCII)
_LONGEST_GAP = 8 * 366
"""Days between two slots at most: 29 February, around a year that is no leap year for once (2096 to 2104)."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Where day of the month and day of the week are both restricted, either is enough, as in every cron."""

    minutes: list[int]
    hours: list[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @property
    def names_hours(self) -> bool:
        """Whether the hour is restricted at all."""
        return len(self.hours) < len(range(24))

    def walls(self, start: datetime) -> Iterator[datetime]:
        """The naive local times from `start` on, in order; ends where none would ever follow."""
        times = [time(hour, minute) for hour in self.hours for minute in self.minutes]
        day = start.date()
        idle = 0
        while idle <= _LONGEST_GAP:
            idle += 1
            if self._falls_on(day):
                idle = 0
                yield from (wall for one in times if (wall := datetime.combine(day, one)) >= start)
            day += timedelta(days=1)

    def _falls_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (of_month or of_week) if self.either_day else (of_month and of_week)


def parse(expression: str) -> Cron:
    """Raises InvalidInput that names the field, never what stood in it."""
    texts = expression.lower().split()
    if len(texts) != len(_FIELDS):
        raise invalid("/cron", "invalid_cron", "Five fields: minute, hour, day of the month, month and day of the week")
    minutes, hours, days, months, weekdays = (_values(text, *field) for text, field in zip(texts, _FIELDS, strict=True))
    return Cron(
        sorted(minutes),
        sorted(hours),
        frozenset(days),
        frozenset(months),
        frozenset(number % 7 for number in weekdays),  # Sunday is 0 and 7
        either_day=not texts[2].startswith("*") and not texts[4].startswith("*"),
    )


def _values(text: str, name: str, lowest: int, highest: int, names: Mapping[str, int]) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if found is None:
            raise _wrong(name, lowest, highest)
        low, high, step = found["low"], found["high"], int(found["step"] or 1)
        first = lowest if low is None else _number(low, name, lowest, highest, names)
        if high is not None:
            last = _number(high, name, lowest, highest, names)
            if names is _WEEKDAYS and last == 0:
                last = 7  # `fri-sun`
        else:
            last = highest if low is None or found["step"] else first
        if step == 0 or first > last:
            raise _wrong(name, lowest, highest)
        values.update(range(first, last + 1, step))
    return values


def _number(word: str, name: str, lowest: int, highest: int, names: Mapping[str, int]) -> int:
    if word in names:
        return names[word]
    if not (word.isdigit() and len(word) <= 2 and lowest <= (number := int(word)) <= highest):  # noqa: PLR2004
        raise _wrong(name, lowest, highest)
    return number


def _wrong(name: str, lowest: int, highest: int) -> InvalidInput:
    message = f"The {name} is made of *, {lowest} to {highest}, ranges (a-b), steps (/n) and commas"
    return invalid("/cron", "invalid_cron", message)
