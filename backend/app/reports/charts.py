"""The charts of a report, each made of its figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.reports.drawing import Drawing, Series, columns, rows
from app.reports.figures import AGES, LATENESS, Figures, Share, short_day

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.reports.drawing import Tone

FULL = 720.0
HALF = 344.0


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    note: str
    drawing: Drawing
    legend: list[Tone] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    """The same in numbers, its first line the head, where the drawing shows none."""

    @property
    def empty(self) -> bool:
        return self.drawing.height == 0


def throughput(figures: Figures) -> Chart:
    buckets = figures.throughput
    totals = figures.totals
    says = f"{totals.created} tasks created and {totals.done} done, by {figures.unit}"
    drawing = columns(
        says,
        FULL,
        [short_day(bucket.day) for bucket in buckets],
        [
            Series("created", [bucket.created for bucket in buckets]),
            Series("done", [bucket.done for bucket in buckets]),
        ],
    )
    head = ["Week from" if figures.unit == "week" else "Day", "Created", "Done"]
    table = [[bucket.day.isoformat(), str(bucket.created), str(bucket.done)] for bucket in buckets]
    return Chart("Created and done", f"Tasks by {figures.unit}", drawing, ["created", "done"], [head, *table])


def ageing(figures: Figures) -> Chart:
    return _classes("Age of open tasks", "Since they were created", "open", AGES, figures.ages)


def lateness(figures: Figures) -> Chart:
    return _classes("Overdue for", "Since the day they were due", "overdue", LATENESS, figures.lateness)


def people(figures: Figures) -> Chart:
    return _shares("By person", "A task with two people counts for both", figures.people)


def labels(figures: Figures) -> Chart:
    return _shares("By label", "A task with two labels counts for both", figures.labels)


def _classes(title: str, note: str, tone: Tone, names: Sequence[str], counts: Sequence[int]) -> Chart:
    said = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))
    return Chart(title, note, rows(f"{title}. {said}", HALF, names, [Series(tone, counts)], name_width=104))


def _shares(title: str, note: str, shares: list[Share]) -> Chart:
    series = [
        Series("done", [one.done for one in shares]),
        Series("open", [one.on_schedule for one in shares]),
        Series("overdue", [one.overdue for one in shares]),
    ]
    said = "; ".join(f"{one.name}: {one.done} done, {one.open} open, {one.overdue} of them overdue" for one in shares)
    names = [one.name for one in shares]
    return Chart(title, note, rows(f"{title}. {said}", FULL, names, series, name_width=176))
