from __future__ import annotations

from datetime import date

import pytest

from app.transfer.parsing.moments import as_due, as_start, read_moment
from tests.transfer.reading import BERLIN, at


@pytest.mark.parametrize(
    "written",
    ["2024-04-07", "2024-4-7", "2024/04/07", "2024.04.07", "20240407", "7 Apr 2024", "7-Apr-2024", "07/Apr/24", "April 7, 2024",
     "Apr 7 2024", "7th April 2024", "7.4.2024", "7. 4. 2024", "Sun, 7 Apr 2024", "Sunday, April 7, 2024"],
)  # fmt: skip
def test_dates_in_many_notations(written: str) -> None:
    assert read_moment(written, BERLIN) == date(2024, 4, 7)


@pytest.mark.parametrize(
    "written",
    ["2024-04-07T19:32:00Z", "2024-04-07T21:32:00+02:00", "2024-04-07 21:32", "2024-04-07 21:32:00", "2024-04-07 9:32 PM",
     "07/Apr/24 9:32 PM", "April 7, 2024 at 9:32 p.m.", "20240407T193200Z", "20240407T213200", "2024-04-07 19:32:00 UTC",
     "2024-04-07T19:32:00.000Z", "1712518320", "1712518320000", "2024-04-07T19:32:00+0000", "2024-04-07T15:32:00-04"],
)  # fmt: skip
def test_times_in_many_notations(written: str) -> None:
    assert read_moment(written, BERLIN) == at(2024, 4, 7, 19, 32)


@pytest.mark.parametrize(
    "written",
    ["", "soon", "3/4/2024", "2024-13-01", "2024-02-30", "2024-01-01T25:00:00Z", "2024-01-01T10:00:00+99:99", "0000-00-00",
     "13:00", "2024-01-01 13:00 PM", "9999-12-31T23:59:59-14:00", "٢٠٢٤-٠١-٠١", "24-01-01", "1 Foo 2024", "1712518320000000"],
)  # fmt: skip
def test_what_is_no_date_or_could_be_two_is_none(written: str) -> None:
    assert read_moment(written, BERLIN) is None


def test_slashes_are_understood_where_only_one_number_can_be_the_month() -> None:
    assert read_moment("4/13/2024", BERLIN) == read_moment("13/4/2024", BERLIN) == date(2024, 4, 13)
    assert read_moment("4/4/2024", BERLIN) == date(2024, 4, 4)


def test_a_day_starts_and_ends_where_the_user_is() -> None:
    assert as_start(date(2024, 3, 31), BERLIN) == at(2024, 3, 30, 23)
    assert as_due(date(2024, 3, 31), BERLIN) == at(2024, 3, 31, 21, 59, 59)
    assert as_due(date(1969, 12, 31), BERLIN) is None
