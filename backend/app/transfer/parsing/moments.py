"""Dates and times as other products write them.

A date without a time is a `date`; what it means as a moment depends on its use: work starts as its day begins (`as_start`)
and is due as its day ends (`as_due`), so that nothing is overdue on its day.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

from app.kit.schema import EARLIEST, LATEST

if TYPE_CHECKING:
    from datetime import tzinfo

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january",
            "feb february",
            "mar march",
            "apr april",
            "may",
            "jun june",
            "jul july",
            "aug august",
            "sep sept september",
            "oct october",
            "nov november",
            "dec december",
        ),
        1,
    )
    for name in names.split()
}
DAY_END = time(23, 59, 59)

_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?\s*(?P<half>[ap]\.?m\.?)?"
_OFFSET = r"(?P<offset>z|utc|gmt|[+-]\d{2}:?\d{2}|[+-]\d{2})?"
_SUFFIX = rf"(?:(?:t|,?\s+(?:at\s+)?){_TIME}\s*{_OFFSET})?"
_DATES = tuple(
    re.compile(rf"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?{shape}{_SUFFIX}", re.IGNORECASE | re.ASCII)
    for shape in (
        r"(?P<year>\d{4})(?P<sep>[-/.])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s/.-]{1,2}(?P<word>[a-z]{3,9})\.?,?[\s/-]+(?P<year>\d{4}|\d{2})",
        r"(?P<word>[a-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})",
        r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})",
        r"(?P<first>\d{1,2})/(?P<other>\d{1,2})/(?P<year>\d{4})",
    )
)
_BASIC = re.compile(r"(\d{4})(\d{2})(\d{2})(?:t(\d{2})(\d{2})(\d{2})(z?))?", re.IGNORECASE | re.ASCII)
_EPOCH = re.compile(r"\d{10}|\d{13}", re.ASCII)
_MILLISECONDS = 13


def read_moment(text: str, zone: tzinfo) -> date | datetime | None:
    """The date, or the aware moment in UTC, that `text` names without doubt; None for everything else.

    A time without an offset is one of `zone`. `3/4/2024` is two dates and so none; `13/4/2024` is one.
    """
    text = text.strip()
    if _EPOCH.fullmatch(text):
        return in_range(EARLIEST + timedelta(milliseconds=int(text) * (1 if len(text) == _MILLISECONDS else 1000)))
    try:
        if basic := _BASIC.fullmatch(text):
            return _from_basic(basic, zone)
        for shape in _DATES:
            if found := shape.fullmatch(text):
                return _from_parts(found.groupdict(), zone)
    except (ValueError, OverflowError):
        return None
    return None


def as_due(when: date | datetime, zone: tzinfo) -> datetime | None:
    """The last second of a date; a moment as it is. None outside the years 1970 to 9999."""
    return _at(when, DAY_END, zone)


def as_start(when: date | datetime, zone: tzinfo) -> datetime | None:
    """Midnight of a date; a moment as it is. None outside the years 1970 to 9999."""
    return _at(when, time.min, zone)


def in_range(moment: datetime) -> datetime | None:
    """The moment in UTC, or None outside the years 1970 to 9999."""
    try:
        utc = moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return utc if EARLIEST <= utc <= LATEST else None


def clock(hour: int, minute: int, half: str | None, second: int = 0) -> time:
    """A time of day, of 24 hours or of 12 with "am" or "pm". Raises ValueError."""
    if half:
        if not 1 <= hour <= 12:  # noqa: PLR2004  hours of a half day
            raise ValueError(hour)
        hour = hour % 12 + (12 if half.lower().startswith("p") else 0)
    return time(hour, minute, second)


def _at(when: date | datetime, of_day: time, zone: tzinfo) -> datetime | None:
    return in_range(when if isinstance(when, datetime) else datetime.combine(when, of_day, zone))


def _from_basic(found: re.Match[str], zone: tzinfo) -> date | datetime | None:
    year, month, day, hour, minute, second = (int(number) if number else None for number in found.groups()[:6])
    on = date(year or 0, month or 0, day or 0)
    if hour is None:
        return on
    return in_range(datetime.combine(on, time(hour, minute or 0, second or 0), UTC if found[7] else zone))


def _from_parts(parts: dict[str, str | None], zone: tzinfo) -> date | datetime | None:
    month, day = _month_and_day(parts)
    year = parts["year"] or ""
    on = date(int(year if len(year) > len("24") else f"20{year}"), month, day)
    if parts["hour"] is None:
        return on
    of_day = clock(int(parts["hour"]), int(parts["minute"] or 0), parts["half"], int(parts["second"] or 0))
    of_day = of_day.replace(microsecond=int((parts["fraction"] or "0")[:6].ljust(6, "0")))
    return in_range(datetime.combine(on, of_day, _offset(parts["offset"]) or zone))


def _month_and_day(parts: dict[str, str | None]) -> tuple[int, int]:
    if parts.get("word"):
        return MONTHS.get(str(parts["word"]).lower(), 0), int(parts["day"] or 0)
    if parts.get("first") is None:
        return int(parts["month"] or 0), int(parts["day"] or 0)
    first, other = int(parts["first"] or 0), int(parts["other"] or 0)
    if first != other and max(first, other) <= 12:  # noqa: PLR2004  either could be the month
        raise ValueError(parts)
    return min(first, other), max(first, other)


def _offset(text: str | None) -> tzinfo | None:
    if not text:
        return None
    if text.lower() in {"z", "utc", "gmt"}:
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-span if text[0] == "-" else span)
