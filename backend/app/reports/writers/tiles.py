"""The few numbers at the head of a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.reports.figures import Figures

_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Tile:
    name: str
    value: str
    note: str
    alarming: bool = False


def tiles(figures: Figures) -> list[Tile]:
    totals = figures.totals
    on_time = totals.on_time_percent
    return [
        Tile("Created", f"{totals.created:,}", _compared(totals.created, totals.created_before)),
        Tile("Done", f"{totals.done:,}", _compared(totals.done, totals.done_before)),
        Tile("Open now", f"{totals.open:,}", ""),
        Tile("Overdue now", f"{totals.overdue:,}", _part(totals.overdue, totals.open), alarming=totals.overdue > 0),
        Tile("Time to done", _span(totals.median_days), "median"),
        Tile(
            "Done on time", _NOTHING if on_time is None else f"{on_time} %", f"of {totals.with_due:,} with a due date"
        ),
    ]


def _compared(now: int, before: int) -> str:
    return f"{before:,} in the period before" if now != before else "as in the period before"


def _part(overdue: int, open_: int) -> str:
    return f"{100 * overdue / open_:.0f} % of what is open" if overdue else "nothing is late"


def _span(days: float | None) -> str:
    if days is None:
        return _NOTHING
    if days < 1:
        return f"{days * 24:.1f} h"
    return f"{days:.1f} d" if days < 100 else f"{days:,.0f} d"  # noqa: PLR2004  more digits say nothing
