"""Recurrence rules (RFC 5545 3.3.10), as wall-clock times. dateutil computes them; what it is given is bounded here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule

from app.kit.errors import InvalidInput, invalid

MAX_COUNT = 1000
MAX_INTERVAL = 1000
_FREQUENCIES = {name: getattr(rrule, name) for name in ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY")}
_BELOW_DAYS = {rrule.HOURLY, rrule.MINUTELY}
_UNITS = {
    rrule.WEEKLY: timedelta(weeks=1),
    rrule.DAILY: timedelta(days=1),
    rrule.HOURLY: timedelta(hours=1),
    rrule.MINUTELY: timedelta(minutes=1),
}
_NUMBERS = {
    "BYMONTH": (1, 12, False),
    "BYMONTHDAY": (1, 31, True),
    "BYYEARDAY": (1, 366, True),
    "BYWEEKNO": (1, 53, True),
    "BYHOUR": (0, 23, False),
    "BYMINUTE": (0, 59, False),
    "BYSETPOS": (1, 366, True),
}
"""The lists of numbers: least and greatest, and whether they may count from the end."""
_DAY_PARTS = ("bymonthday", "byyearday", "byweekno", "byweekday")
_WEEKDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL = re.compile(r"\d{8}(T\d{6}Z?)?")
_NUMBER = re.compile(r"[+-]?\d{1,4}")
_LAST_YEARS = datetime(9960, 1, 1)  # noqa: DTZ001  a wall-clock time
"""dateutil looks for the next slot until the year 9999. Of a rule that began in these years it finds soon that there is
none; forty years hold every combination of date and weekday.
"""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`starts` is DTSTART: a naive local time. What it implies (a weekday, a day, a time) stands in `parts` already."""

    frequency: int
    starts: datetime
    parts: dict[str, Any]
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    names_hours: bool = True
    """Whether the hours come from the rule or from its start, and not from counting on."""

    def walls(self, start: datetime) -> Iterator[datetime]:
        """The naive local times from `start` on, in order."""
        begun = self.starts if self.count is not None else self._begun(start)
        whole = self._rule(begun, count=self.count, until=self.until)
        return takewhile(_LAST_YEARS.__gt__, whole.xafter(start, inc=True))

    def fires(self) -> bool:
        """Whether it would go on for ever, but for `count` and `until`."""
        return next(iter(self._rule(self._begun(_LAST_YEARS))), None) is not None

    def _rule(self, begun: datetime, **ends: Any) -> rrule.rrule:
        return rrule.rrule(self.frequency, begun, self.interval, **self.parts, **ends)  # type: ignore[arg-type]

    def _begun(self, at: datetime) -> datetime:
        """A later start of the same rule, at most `at`: whole periods later, so that it has the same slots from then on."""
        if at <= self.starts:
            return self.starts
        if unit := _UNITS.get(self.frequency):
            period = self.interval * unit
            return self.starts + (at - self.starts) // period * period
        months = self.interval * (12 if self.frequency == rrule.YEARLY else 1)
        first = self.starts.year * 12 + self.starts.month - 1
        periods = (at.year * 12 + at.month - 1 - first) // months
        if periods == 0:
            return self.starts
        year, month = divmod(first + periods * months, 12)
        return datetime(year, month + 1, 1)  # noqa: DTZ001  the parts say which day and what time


def parse(text: str, starts: datetime, zone: ZoneInfo) -> Recurrence:
    """`starts` is an aware moment. Raises InvalidInput for what is not RFC 5545, for SECONDLY, and for what never fires."""
    given = _split(text)
    frequency = _FREQUENCIES.get(given.pop("FREQ", ""))
    if frequency is None:
        raise _wrong(f"FREQ is one of {', '.join(_FREQUENCIES)}")
    if {"COUNT", "UNTIL"} <= set(given):
        raise _wrong("COUNT and UNTIL exclude each other")
    wall = starts.astimezone(zone).replace(tzinfo=None, microsecond=0)
    if "BYSETPOS" in given and frequency in _BELOW_DAYS:
        raise _wrong("BYSETPOS counts within days and longer periods")
    rule = Recurrence(
        frequency,
        wall,
        {},
        interval=_one_number(given, "INTERVAL", MAX_INTERVAL) or 1,
        count=_one_number(given, "COUNT", MAX_COUNT),
        until=_until(given.pop("UNTIL"), wall, zone) if "UNTIL" in given else None,
        names_hours="BYHOUR" in given or frequency not in _BELOW_DAYS,
    )
    rule.parts.update(_parts(given, frequency, wall))
    try:
        fires = rule.fires()
    except ValueError:  # dateutil's word for BYHOUR and BYMINUTE that INTERVAL steps over
        fires = False
    if not fires:
        raise invalid("/rrule", "rule_never_fires", "No slot fits this rule")
    return rule


def _split(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in text.upper().removeprefix("RRULE:").split(";"):
        name, _, value = part.partition("=")
        if name in given or not value:
            raise _wrong("Parts are NAME=value, separated by semicolons, each name once")
        given[name] = value
    return given


def _one_number(given: dict[str, str], name: str, highest: int) -> int | None:
    if name not in given:
        return None
    text = given.pop(name)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= highest):  # noqa: PLR2004
        raise _wrong(f"{name} is 1 to {highest}")
    return int(text)


def _until(text: str, starts: datetime, zone: ZoneInfo) -> datetime:
    """The last wall-clock time; a date alone is its whole day."""
    wrong = _wrong("UNTIL is YYYYMMDD, YYYYMMDDTHHMMSS or YYYYMMDDTHHMMSSZ")
    if not _UNTIL.fullmatch(text):
        raise wrong
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
        elif "T" not in text:
            moment += timedelta(hours=23, minutes=59, seconds=59)
    except (ValueError, OverflowError):
        raise wrong from None
    if moment < starts:
        raise _wrong("UNTIL lies before the start")
    return moment


def _parts(given: dict[str, str], frequency: int, starts: datetime) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for name, text in given.items():
        if name in _NUMBERS:
            parts[name.lower()] = _numbers(name, text)
        elif name == "BYDAY":
            # Of a period that has fewer, dateutil looks beyond its tables.
            highest = 53 if frequency == rrule.YEARLY and "BYMONTH" not in given else 5
            parts["byweekday"] = [_weekday(one, frequency, highest) for one in text.split(",")]
        elif name == "WKST" and (found := _WEEKDAY.fullmatch(text)) and found[1] is None:
            parts["wkst"] = getattr(rrule, text)
        else:
            raise _wrong(f"The parts are FREQ, INTERVAL, COUNT, UNTIL, WKST, BYDAY, {', '.join(_NUMBERS)}")
    return _implied(frequency, starts, parts) | parts


def _numbers(name: str, text: str) -> list[int]:
    lowest, highest, signed = _NUMBERS[name]
    numbers = [int(one) if _NUMBER.fullmatch(one) else -highest - 1 for one in text.split(",")]
    if not all(lowest <= (abs(number) if signed else number) <= highest for number in numbers):
        raise _wrong(f"{name} is {lowest} to {highest}" + (", or negative: from the end" if signed else ""))
    return sorted(set(numbers))


def _weekday(text: str, frequency: int, highest: int) -> Any:
    found = _WEEKDAY.fullmatch(text)
    if found is None or (found[1] and not 1 <= abs(int(found[1])) <= highest):
        raise _wrong("BYDAY is made of MO, TU, WE, TH, FR, SA, SU, with a number before one for the n-th of its period")
    if found[1] and frequency not in {rrule.YEARLY, rrule.MONTHLY}:
        raise _wrong("BYDAY has numbers only where FREQ is YEARLY or MONTHLY")
    weekday = getattr(rrule, found[2])
    return weekday(int(found[1])) if found[1] else weekday


def _implied(frequency: int, starts: datetime, parts: dict[str, Any]) -> dict[str, Any]:
    """What the start says where the rule is silent (RFC 5545 3.3.10)."""
    implied: dict[str, Any] = {"bysecond": [starts.second]}
    if frequency != rrule.MINUTELY:
        implied["byminute"] = [starts.minute]
    if frequency not in _BELOW_DAYS:
        implied["byhour"] = [starts.hour]
    if any(name in parts for name in _DAY_PARTS):
        return implied
    if frequency == rrule.WEEKLY:
        implied["byweekday"] = [starts.weekday()]
    if frequency in {rrule.MONTHLY, rrule.YEARLY}:
        implied["bymonthday"] = [starts.day]
    if frequency == rrule.YEARLY:
        implied["bymonth"] = [starts.month]
    return implied


def _wrong(message: str) -> InvalidInput:
    return invalid("/rrule", "invalid_rrule", message)
