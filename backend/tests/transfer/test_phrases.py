from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.transfer.parsing.phrases import Phrase, understand
from app.transfer.parsing.recurrence import rule_of
from tests.transfer.reading import BERLIN, NOW, at


def meant(text: str, language: str = "en") -> Phrase | None:
    return understand(text, NOW, BERLIN, language)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("today", date(2024, 1, 10)),
        ("Tomorrow", date(2024, 1, 11)),
        ("day after tomorrow", date(2024, 1, 12)),
        ("in 5 days", date(2024, 1, 15)),
        ("5 days", date(2024, 1, 15)),
        ("+5 days", date(2024, 1, 15)),
        ("in a week", date(2024, 1, 17)),
        ("in 2 months", date(2024, 3, 10)),
        ("4 Jan", date(2025, 1, 4)),
        ("Jan 27", date(2024, 1, 27)),
        ("27th of January", date(2024, 1, 27)),
        ("29 feb", date(2024, 2, 29)),
        ("10 Jan", date(2024, 1, 10)),
        ("5 Jan 2023", date(2023, 1, 5)),
        ("15th", date(2024, 1, 15)),
        ("friday", date(2024, 1, 12)),
        ("wed", date(2024, 1, 17)),
        ("next week", date(2024, 1, 15)),
        ("end of month", date(2024, 1, 31)),
        ("2025-10-4", date(2025, 10, 4)),
        ("today at 05:30", at(2024, 1, 10, 4, 30)),
        ("tomorrow 9am", at(2024, 1, 11, 8)),
        ("tomorrow at 17", at(2024, 1, 11, 16)),
        ("fri 12am", at(2024, 1, 11, 23)),
        ("4 Jan at 6:15 pm", at(2025, 1, 4, 17, 15)),
        ("tomorrow morning", at(2024, 1, 11, 8)),
        ("18:00", at(2024, 1, 10, 17)),
        ("in 3 hours", at(2024, 1, 10, 14)),
        ("2024-02-03T10:00:00Z", at(2024, 2, 3, 10)),
    ],
)
def test_single_dates(text: str, first: date | datetime) -> None:
    assert meant(text) == Phrase(first)


@pytest.mark.parametrize(
    ("text", "first", "rule"),
    [
        ("every day", date(2024, 1, 10), "FREQ=DAILY"),
        ("daily", date(2024, 1, 10), "FREQ=DAILY"),
        ("every 3 months", date(2024, 1, 10), "FREQ=MONTHLY;INTERVAL=3"),
        ("every quarter", date(2024, 1, 10), "FREQ=MONTHLY;INTERVAL=3"),
        ("every other week", date(2024, 1, 10), "FREQ=WEEKLY;INTERVAL=2"),
        ("every weekday", date(2024, 1, 10), "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
        ("every weekend", date(2024, 1, 13), "FREQ=WEEKLY;BYDAY=SA,SU"),
        ("every mon, Wed and fri", date(2024, 1, 10), "FREQ=WEEKLY;BYDAY=MO,WE,FR"),
        ("every other tuesday", date(2024, 1, 16), "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU"),
        ("every 2 weeks on monday", date(2024, 1, 15), "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO"),
        ("every first monday", date(2024, 2, 5), "FREQ=MONTHLY;BYDAY=1MO"),
        ("every 3rd friday", date(2024, 1, 19), "FREQ=MONTHLY;BYDAY=3FR"),
        ("every last day", date(2024, 1, 31), "FREQ=MONTHLY;BYMONTHDAY=-1"),
        ("every first workday of the month", date(2024, 2, 1), "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1"),
        ("every 15th", date(2024, 1, 15), "FREQ=MONTHLY;BYMONTHDAY=15"),
        ("every 1st, 15th", date(2024, 1, 15), "FREQ=MONTHLY;BYMONTHDAY=1,15"),
        ("every month on the 5th", date(2024, 2, 5), "FREQ=MONTHLY;BYMONTHDAY=5"),
        ("every jan 27th", date(2024, 1, 27), "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=27"),
        ("every 14 jan, 14 apr", date(2024, 1, 14), "FREQ=YEARLY;BYMONTH=1,4;BYMONTHDAY=14"),
        ("every day at 9:00", at(2024, 1, 11, 8), "FREQ=DAILY"),
        ("every day at 14:00", at(2024, 1, 10, 13), "FREQ=DAILY"),
        ("every monday morning", at(2024, 1, 15, 8), "FREQ=WEEKLY;BYDAY=MO"),
        ("every 12 hours", at(2024, 1, 10, 11), "FREQ=HOURLY;INTERVAL=12"),
        ("every day starting 4 feb", date(2024, 2, 4), "FREQ=DAILY"),
        ("every day starting 4 feb until 1 mar", date(2024, 2, 4), "FREQ=DAILY;UNTIL=20240301T225959Z"),
        ("every week for 3 weeks", date(2024, 1, 10), "FREQ=WEEKLY;UNTIL=20240131T225959Z"),
    ],
)
def test_repetitions(text: str, first: date | datetime, rule: str) -> None:
    assert meant(text) == Phrase(first, rule)


def test_a_repetition_from_completion_says_so() -> None:
    assert meant("every! 2 weeks") == Phrase(date(2024, 1, 10), "FREQ=WEEKLY;INTERVAL=2", from_completion=True)


@pytest.mark.parametrize(
    "text",
    ["", "someday", "next friday", "every", "every blue moon", "every 0 days", "every 32nd", "30 feb", "every 30 feb", "13am",
     "every day at 25:00", "every 2 weekdays", "in 99999 days", "in 9999 years", "every day until later", "every 14 jan, 15 apr",
     "every month on monday and the 5th", "x" * 300, "every 15 minutes", "3/4/2024"],
)  # fmt: skip
def test_what_has_no_single_meaning_is_not_understood(text: str) -> None:
    assert meant(text) is None


@pytest.mark.parametrize(
    ("language", "text", "english"),
    [
        ("de", "in 5 Tagen", "in 5 days"),
        ("de", "jeden ersten Montag", "every first monday"),
        ("de", "alle 3 Monate", "every 3 months"),
        ("de", "jeden Werktag um 18 Uhr", "every workday at 18:00"),
        ("de", "4. März", "4 mar"),
        ("fr", "dans 5 jours", "in 5 days"),
        ("fr", "tous les jours à 10h30", "every day at 10:30"),
        ("fr", "4 janv.", "4 jan"),
        ("es", "cada 3 meses", "every 3 months"),
        ("es", "mañana a las 10:00", "tomorrow at 10:00"),
        ("it", "ogni lunedì", "every monday"),
        ("nl", "over 5 dagen", "in 5 days"),
        ("pt_BR", "toda segunda-feira", "every monday"),
        ("xx", "every day", "every day"),
    ],
)
def test_other_languages_say_the_same(language: str, text: str, english: str) -> None:
    assert meant(text, language) == meant(english)
    assert meant(english) is not None


@given(
    st.lists(
        st.sampled_from(["every", "every!", "other", "2", "31", "0", "day", "days", "week", "month", "monday", "fri", ",", "and", "at", "9am", "10:00", "first", "last", "jan", "30", "of", "the", "starting", "until", "for", "on", "in", "tomorrow", "weekday", "hours", "15th", "+", ".", "in:"]), max_size=9,
    ),
    st.sampled_from(["en", "de", "fr", ""]),
)  # fmt: skip
def test_no_phrase_is_a_surprise(words: list[str], language: str) -> None:
    found = meant(" ".join(words), language)
    assert found is None or found.rrule is None or rule_of(found.rrule) == found.rrule
