"""Laws of the charts and of the buckets, for whatever numbers."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.reports.drawing import Series, columns, rows, shortened
from app.reports.figures import filled, unit_of

counts = st.lists(st.tuples(*[st.integers(0, 10**9)] * 3), min_size=1, max_size=60)


@given(counts)
def test_everything_in_a_chart_lies_on_its_plane(values) -> None:
    names = [str(number) for number in range(len(values))]
    series = [
        Series(tone, list(one))
        for tone, one in zip(("done", "open", "overdue"), zip(*values, strict=True), strict=True)
    ]
    for drawing in (columns("", 720, names, series[:2]), rows("", 720, names, series, 176)):
        for bar in drawing.bars:
            assert bar.width > 0
            assert bar.height > 0
            assert bar.x >= 0
            assert bar.y >= 0
            assert bar.x + bar.width <= 720 + 1e-6
            assert bar.y + bar.height <= drawing.height
        assert all(0 <= words.y <= drawing.height for words in drawing.words)


@given(counts)
def test_the_taller_column_is_the_larger_number(values) -> None:
    numbers = [one for one, *_ in values]
    drawing = columns("", 720, [""] * len(numbers), [Series("done", numbers)])

    tall = iter(bar.height for bar in drawing.bars)
    drawn = [next(tall) if number else 0.0 for number in numbers]
    for before, after in pairwise(sorted(zip(numbers, drawn, strict=True))):
        assert before[1] <= after[1] + 1e-6


days = st.dates(date(1990, 1, 1), date(2090, 1, 1))


@given(days, st.integers(0, 365), st.data())
def test_buckets_cover_the_period_without_gap_and_lose_no_count(since, length, data) -> None:
    until = since + timedelta(days=length)
    by_week = unit_of(since, until) == "week"
    events = data.draw(st.lists(st.integers(0, length).map(lambda offset: since + timedelta(days=offset))))
    found: dict[date, tuple[int, int]] = {}
    for day in events:
        start = day - timedelta(days=day.weekday()) if by_week else day
        found[start] = (found.get(start, (0, 0))[0] + 1, 0)

    buckets = filled(since, until, found)

    assert buckets[0].day == since
    assert sum(bucket.created for bucket in buckets) == len(events)
    assert len(buckets) <= 54
    steps = [(after.day - before.day).days for before, after in pairwise(buckets)]
    assert all(step == 7 if by_week else step == 1 for step in steps[1:])
    assert (until - buckets[-1].day).days < (7 if by_week else 1)


@given(st.text(), st.integers(1, 40))
def test_a_shortened_text_is_never_longer(text, limit) -> None:
    assert len(shortened(text, limit)) <= limit
    plain = " ".join(text.split())
    if len(plain) * 2 <= limit:
        assert shortened(text, limit) == plain
