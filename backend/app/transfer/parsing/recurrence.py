"""Rules of repetition."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dateutil.rrule import rrulestr

from app.transfer.model import RRULE_MAX

if TYPE_CHECKING:
    from datetime import tzinfo

_LONG = timedelta(days=30 * 366)

_NUMBERS = r"[+-]?\d{1,3}(?:,[+-]?\d{1,3})*"
_PARTS = {
    "FREQ": "SECONDLY|MINUTELY|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9]\d{0,3}",
    "COUNT": r"[1-9]\d{0,5}",
    "UNTIL": r"\d{8}(?:T\d{6}Z?)?",
    "BYSECOND": r"\d{1,2}(?:,\d{1,2})*",
    "BYMINUTE": r"\d{1,2}(?:,\d{1,2})*",
    "BYHOUR": r"\d{1,2}(?:,\d{1,2})*",
    "BYDAY": r"(?:[+-]?\d{1,2})?(?:MO|TU|WE|TH|FR|SA|SU)(?:,(?:[+-]?\d{1,2})?(?:MO|TU|WE|TH|FR|SA|SU))*",
    "BYMONTHDAY": _NUMBERS,
    "BYYEARDAY": _NUMBERS,
    "BYWEEKNO": _NUMBERS,
    "BYMONTH": r"\d{1,2}(?:,\d{1,2})*",
    "BYSETPOS": _NUMBERS,
    "WKST": "MO|TU|WE|TH|FR|SA|SU",
}


def rule_of(text: str) -> str | None:
    """The RRULE value in upper case, parts in their given order, or None where `text` is no valid rule (RFC 5545 3.3.10)."""
    if len(text) > RRULE_MAX:
        return None
    rule = re.sub(r"\s+", "", text).upper().removeprefix("RRULE:").strip(";")
    parts = [part.partition("=") for part in rule.split(";")]
    names = [name for name, _, _ in parts]
    if "FREQ" not in names or len(set(names)) != len(names) or {"COUNT", "UNTIL"} <= {*names}:
        return None
    if not all(name in _PARTS and re.fullmatch(_PARTS[name], value) for name, _, value in parts):
        return None
    return rule if _is_sound(parts) else None


def after_finished(rule: str, start: datetime, zone: tzinfo, finished: set[datetime]) -> tuple[datetime, int] | None:
    """The first occurrence that is not among the finished ones, and how many of these come before it.

    All times are local ones of `zone` without it. None where all occurrences are finished. A series that repeats more often
    than daily, or for more than 30 years of finished occurrences, stays at its start.
    """
    parts = dict(part.split("=") for part in rule.split(";"))
    last = max([start, *finished])
    if start not in finished or parts["FREQ"] in {"SECONDLY", "MINUTELY", "HOURLY"} or last - start > _LONG:
        return start, 0
    times = int(parts.pop("COUNT", 10**9))
    until = min(_local(parts.pop("UNTIL", ""), zone) or datetime.max, last + _LONG)  # noqa: DTZ901  local times
    plain = ";".join(f"{name}={value}" for name, value in parts.items())
    for passed, occurrence in enumerate(rrulestr(plain, dtstart=start).replace(until=until)):  # type: ignore[union-attr]
        if passed >= times:
            return None
        if occurrence not in finished:
            return occurrence, passed
    return None


def without_first(rule: str, number: int) -> str:
    """The rule for what remains of a series after its first occurrences: a COUNT is lower by them."""
    return re.sub(r"COUNT=(\d+)", lambda count: f"COUNT={max(1, int(count[1]) - number)}", rule)


def _local(until: str, zone: tzinfo) -> datetime | None:
    if not until:
        return None
    moment = datetime.strptime(until[:15].ljust(15, "X").replace("XXXXXXX", "T235959"), "%Y%m%dT%H%M%S")  # noqa: DTZ007
    return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if until.endswith("Z") else moment


def _is_sound(parts: list[tuple[str, str, str]]) -> bool:
    # UNTIL is compared with a start that is not known here; its own value is checked as a date.
    rest = ";".join(f"{name}={value}" for name, _, value in parts if name != "UNTIL")
    until = next((value for name, _, value in parts if name == "UNTIL"), "20000101")
    try:
        datetime.strptime(until[:8], "%Y%m%d")  # noqa: DTZ007  only checked
        rrulestr(rest, dtstart=datetime(2000, 1, 1))  # noqa: DTZ001  only checked
    except (ValueError, TypeError, OverflowError, IndexError):
        return False
    return True
