"""Due dates in words, as Todoist keeps them: `in 5 days`, `4 Jan`, `every first monday at 9am`.

What is understood is what has one meaning. Source: Todoist's help pages on dates and recurring dates.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from dateutil.relativedelta import relativedelta
from dateutil.rrule import rrulestr

from app.transfer.parsing.moments import DAY_END, MONTHS, clock, read_moment
from app.transfer.parsing.phrase_words import in_english

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo


@dataclass(frozen=True, slots=True)
class Phrase:
    """`first` is the date, or moment in UTC, that is meant, or the first one of a repetition by `rrule`.

    `from_completion` says that the next one counts from the day on which the task is done, which an RRULE cannot say.
    """

    first: date | datetime
    rrule: str | None = None
    from_completion: bool = False


_DAYS = {
    name: code
    for code, names in {
        "MO": "mon monday mondays",
        "TU": "tue tues tuesday tuesdays",
        "WE": "wed weds wednesday wednesdays",
        "TH": "thu thur thurs thursday thursdays",
        "FR": "fri friday fridays",
        "SA": "sat saturday saturdays",
        "SU": "sun sunday sundays",
        "MO,TU,WE,TH,FR": "weekday weekdays workday workdays",
        "SA,SU": "weekend weekends",
    }.items()
    for name in names.split()
}
_ORDER = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4}
_FREQUENCIES = {"day": "DAILY", "week": "WEEKLY", "month": "MONTHLY", "year": "YEARLY", "hour": "HOURLY"}
_ADVERBS = {
    "daily": "every day",
    "weekly": "every week",
    "monthly": "every month",
    "quarterly": "every quarter",
    "yearly": "every year",
    "annually": "every year",
}
_PARTS_OF_DAY = {"morning": time(9), "noon": time(12), "afternoon": time(12), "evening": time(19), "midnight": time(0)}
_LONGEST = 200

_DAY = "|".join(sorted(_DAYS, key=len, reverse=True))
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_ORDINAL = "|".join(_ORDINALS)
_NUMBER = r"(?:the )?\d{1,2}(?:st|nd|rd|th|\.)?"
_UNIT = r"(?P<unit>minute|min|hour|day|week|month|year|quarter)s?"
_TIME = re.compile(
    r"(?:^|[ ,])(?:at |@ ?)?(?:(?P<hour>\d{1,2})[:h](?P<minute>\d{2})(?: ?(?P<half>[ap])m)?|(?P<hour2>\d{1,2}) ?(?P<half2>[ap])m)$"
    r"|(?:^|[ ,])at (?P<hour3>\d{1,2})h?$|(?:^|[ ,])(?:in the |at )?(?P<part>" + "|".join(_PARTS_OF_DAY) + ")$"
)


def understand(text: str, now: datetime, zone: tzinfo, language: str = "en") -> Phrase | None:
    """What a phrase means at the moment `now` for someone in `zone`; None where it is not understood."""
    if not text.strip() or len(text) > _LONGEST:
        return None
    if (exact := read_moment(text, zone)) is not None:
        return Phrase(exact)
    phrase = _plain(in_english(text.lower(), language))
    local = now.astimezone(zone)
    try:
        repeating = re.fullmatch(r"(?:every|each|ev)(?P<bang>!)? (?P<rest>.+)", _ADVERBS.get(phrase, phrase))
        if repeating:
            return _repeating(repeating["rest"], local, from_completion=repeating["bang"] is not None)
        return _single(phrase, local)
    except (ValueError, OverflowError):
        return None


def _plain(text: str) -> str:
    text = re.sub(r"\bevery other\b", "every 2", re.sub(r"\s+", " ", text).strip())
    first, _, rest = text.partition(" ")
    return f"{_ADVERBS[first]} {rest}".strip() if first in _ADVERBS else text


def _single(phrase: str, local: datetime) -> Phrase | None:
    if ahead := re.fullmatch(rf"(?:in |\+ ?)?(?P<n>\d{{1,4}}|an?|one) {_UNIT}(?: from now)?", phrase):
        return _ahead(ahead, local)
    rest, at = _without_time(phrase)
    day = _date_of(rest, local.date()) if rest else local.date()
    return Phrase(_joined(day, at, local)) if day else None


def _ahead(found: re.Match[str], local: datetime) -> Phrase:
    amount = int(found["n"]) if found["n"].isdigit() else 1
    unit = found["unit"]
    if unit in {"minute", "min", "hour"}:
        step = timedelta(hours=amount) if unit == "hour" else timedelta(minutes=amount)
        return Phrase(local.replace(second=0, microsecond=0).astimezone(UTC) + step)
    return Phrase(_later(local.date(), amount, unit))


def _later(day: date, amount: int, unit: str) -> date:
    months = {"month": 1, "quarter": 3, "year": 12}.get(unit)
    if months:
        return day + relativedelta(months=months * amount)
    return day + timedelta(days=amount * (7 if unit == "week" else 1))


def _date_of(phrase: str, today: date) -> date | None:  # noqa: PLR0911  one line for each form of a date
    """A date in words without a time."""
    phrase = phrase.removeprefix("on ")
    named = {
        "today": 0, "tod": 0, "tomorrow": 1, "tom": 1, "tmrw": 1, "tmr": 1, "yesterday": -1, "day after tomorrow": 2,
    }  # fmt: skip
    if phrase in named:
        return today + timedelta(days=named[phrase])
    if phrase in {"end of month", "eom"}:
        return today.replace(day=monthrange(today.year, today.month)[1])
    if phrase == "next week":
        return today + timedelta(days=7 - today.weekday())
    if phrase in _DAYS and _DAYS[phrase] in _ORDER:
        return today + timedelta(days=(_ORDER.index(_DAYS[phrase]) - today.weekday() - 1) % 7 + 1)
    if re.fullmatch(rf"{_NUMBER}", phrase) and not phrase.isdigit():
        return _next_match(today, f"FREQ=MONTHLY;BYMONTHDAY={_digits(phrase)}")
    if day_of_year := _day_and_month(phrase):
        return _in_year(*day_of_year, today)
    exact = read_moment(phrase, UTC)
    return exact if isinstance(exact, date) and not isinstance(exact, datetime) else None


def _day_and_month(phrase: str) -> tuple[int, int, int | None] | None:
    found = re.fullmatch(
        rf"(?P<day>{_NUMBER}) (?:of )?(?P<month>{_MONTH})\.?(?:,? (?P<year>\d{{4}}))?"
        rf"|(?P<month2>{_MONTH})\.? (?P<day2>{_NUMBER})(?:,? (?P<year2>\d{{4}}))?",
        phrase,
    )
    if not found:
        return None
    year = found["year"] or found["year2"]
    return (
        _digits(found["day"] or found["day2"]),
        MONTHS[found["month"] or found["month2"]],
        int(year) if year else None,
    )


def _in_year(day: int, month: int, year: int | None, today: date) -> date:
    return date(year, month, day) if year else _next_match(today, f"FREQ=YEARLY;BYMONTH={month};BYMONTHDAY={day}")


def _repeating(phrase: str, local: datetime, *, from_completion: bool) -> Phrase | None:
    phrase, start, end = _bounds(phrase, local.date())
    rest, at = _without_time(phrase)
    rule = _rule_of(rest.removeprefix("on ")) if rest else "FREQ=DAILY"
    if rule is None:
        return None
    if rule.startswith("FREQ=HOURLY"):
        return Phrase(
            _joined(start or local.date(), at or local.time().replace(second=0, microsecond=0), local),
            rule,
            from_completion,
        )
    today = local.date() + timedelta(days=at is not None and at <= local.time())
    first = _next_match(start or today, re.sub(r";INTERVAL=\d+", "", rule))
    until = f";UNTIL={_last_second(end, local):%Y%m%dT%H%M%SZ}" if end else ""
    return Phrase(_joined(first, at, local), rule + until, from_completion)


def _bounds(phrase: str, today: date) -> tuple[str, date | None, date | None]:
    """The phrase without its `starting ...`, `until ...` and `for 3 weeks`, and the dates these mean. Raises ValueError."""
    start = end = None
    while found := re.fullmatch(
        r"(?P<rest>.+?),? (?P<word>starting|from|beginning|until|ending|till|for) (?P<date>.+)", phrase
    ):
        word, text = found["word"], found["date"]
        later = re.search(r",? (?:starting|from|beginning|until|ending|till|for) ", text)
        tail = text[later.start() :] if later else ""
        text = text[: later.start()] if later else text
        phrase = found["rest"] + tail
        if word == "for":
            span = re.fullmatch(rf"(?P<n>\d{{1,3}}) {_UNIT}", text)
            end = _later(start or today, int(span["n"]), span["unit"]) if span else None
            if end is None or (span and span["unit"] in {"minute", "min", "hour"}):
                raise ValueError(phrase)
            continue
        bare, at = _without_time(text)
        day = _date_of(bare, today)
        if day is None:
            raise ValueError(phrase)
        phrase += f" at {at:%H:%M}" if at else ""
        start, end = (day, end) if word in {"starting", "from", "beginning"} else (start, day)
    return phrase, start, end


def _rule_of(phrase: str) -> str | None:
    rules: tuple[Callable[[str], str | None], ...] = (_by_unit, _by_ordinal, _by_weekday, _by_month_day, _by_year_day)
    return next((rule for read in rules if (rule := read(phrase))), None)


def _by_unit(phrase: str) -> str | None:
    found = re.fullmatch(rf"(?:(?P<n>\d{{1,3}}) )?(?:{_UNIT})(?: on (?P<day>.+))?", phrase)
    if not found or found["unit"] in {"minute", "min"} or found["n"] == "0":
        return None
    amount = int(found["n"] or 1) * (3 if found["unit"] == "quarter" else 1)
    frequency = "MONTHLY" if found["unit"] == "quarter" else _FREQUENCIES[found["unit"]]
    step = f";INTERVAL={amount}" if amount > 1 else ""
    if not found["day"]:
        return f"FREQ={frequency}{step}"
    chosen = {"WEEKLY": _by_weekday, "MONTHLY": lambda day: _by_ordinal(day) or _by_month_day(day)}.get(frequency)
    rule = chosen(found["day"]) if chosen else None  # type: ignore[no-untyped-call]
    return rule.replace(";", f"{step};", 1) if rule and rule.startswith(f"FREQ={frequency};BY") else None


def _by_weekday(phrase: str) -> str | None:
    found = re.fullmatch(rf"(?:(?P<n>\d{{1,2}}) )?(?P<days>(?:{_DAY})(?:(?:,? and |, ?| ?& ?| )(?:{_DAY}))*)", phrase)
    if not found or found["n"] == "0" or (found["n"] and _DAYS.get(found["days"]) not in _ORDER):
        return None
    chosen = {code for name in re.findall(_DAY, found["days"]) for code in _DAYS[name].split(",")}
    step = f";INTERVAL={int(found['n'])}" if found["n"] and int(found["n"]) > 1 else ""
    return f"FREQ=WEEKLY{step};BYDAY={','.join(code for code in _ORDER if code in chosen)}"


def _by_ordinal(phrase: str) -> str | None:
    """`first monday`, `last day`, `3rd friday of the month`, `last workday of january`."""
    found = re.fullmatch(
        rf"(?:the )?(?P<nth>{_ORDINAL}) (?P<day>{_DAY}|day)(?: (?:of|in) (?:the |every |each )?(?P<month>{_MONTH}|month))?",
        phrase,
    )
    if not found:
        return None
    month = MONTHS.get(found["month"] or "")
    base = f"FREQ=YEARLY;BYMONTH={month}" if month else "FREQ=MONTHLY"
    nth, day = _ORDINALS[found["nth"]], found["day"]
    if day == "day":
        return f"{base};BYMONTHDAY={nth}"
    code = _DAYS[day]
    return f"{base};BYDAY={code};BYSETPOS={nth}" if "," in code else f"{base};BYDAY={nth}{code}"


def _by_month_day(phrase: str) -> str | None:
    found = re.fullmatch(
        rf"{_NUMBER}(?:(?:,? and |, ?){_NUMBER})*(?: day)?(?: of (?:the |every |each )?month)?", phrase
    )
    days = sorted({_digits(number) for number in re.findall(r"\d+", phrase)}) if found else []
    if not days or not 1 <= days[0] <= days[-1] <= 31:  # noqa: PLR2004  days of a month
        return None
    return f"FREQ=MONTHLY;BYMONTHDAY={','.join(map(str, days))}"


def _by_year_day(phrase: str) -> str | None:
    dates = [_day_and_month(part) for part in re.split(r",? and |, ?", phrase)]
    known = [found for found in dates if found and found[2] is None]
    days = {day for day, _, _ in known}
    if len(known) != len(dates) or len(days) != 1:
        return None
    months = sorted({month for _, month, _ in known})
    date(2024, months[0], min(days))  # a leap year: whatever is no date there is none at all
    return f"FREQ=YEARLY;BYMONTH={','.join(map(str, months))};BYMONTHDAY={min(days)}"


def _without_time(phrase: str) -> tuple[str, time | None]:
    found = _TIME.search(phrase)
    if not found:
        return phrase, None
    rest = phrase[: found.start()].rstrip(" ,")
    if found["part"]:
        return rest, _PARTS_OF_DAY[found["part"]]
    hour = found["hour"] or found["hour2"] or found["hour3"]
    return rest, clock(int(hour), int(found["minute"] or 0), found["half"] or found["half2"])


def _next_match(day: date, rule: str) -> date:
    """The first day of `rule` on or after `day`. Raises ValueError where there is none."""
    first = next(iter(rrulestr(rule, dtstart=datetime(day.year, day.month, day.day))), None)  # noqa: DTZ001  days only
    if first is None:
        raise ValueError(rule)
    return first.date()


def _joined(day: date, at: time | None, local: datetime) -> date | datetime:
    return datetime.combine(day, at, local.tzinfo).astimezone(UTC) if at else day


def _last_second(day: date, local: datetime) -> datetime:
    return datetime.combine(day, DAY_END, local.tzinfo).astimezone(UTC)


def _digits(number: str) -> int:
    return int(re.sub(r"\D", "", number))
