from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from app.kit.cells import neutral
from app.reports.figures import AGES, LATENESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.reports.figures import Figures

HEAD = ("section", "name", "measure", "value")


def table(figures: Figures) -> bytes:
    """RFC 4180: a number a line, so that it can be filtered and pivoted. No cell is a formula to a spreadsheet."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEAD)
    for section, name, measure, value in _lines(figures):
        writer.writerow((section, neutral(" ".join(name.split())), measure, "" if value is None else value))
    return text.getvalue().encode()


def _lines(figures: Figures) -> Iterator[tuple[str, str, str, float | str | None]]:
    yield "report", figures.workspace, "since", figures.since.isoformat()
    yield "report", figures.workspace, "until", figures.until.isoformat()
    yield "report", figures.workspace, "time_zone", figures.zone
    yield "report", figures.workspace, "made_at", figures.made_at.isoformat(timespec="seconds")
    for word, chosen in figures.filters:
        yield "filter", chosen, word.lower(), "only"
    totals = figures.totals
    for measure in ("created", "done", "created_before", "done_before", "with_due", "on_time", "open", "overdue"):
        yield "totals", "", measure, getattr(totals, measure)
    yield "totals", "", "median_days", None if totals.median_days is None else round(totals.median_days, 2)
    for bucket in figures.throughput:
        yield f"by_{figures.unit}", bucket.day.isoformat(), "created", bucket.created
        yield f"by_{figures.unit}", bucket.day.isoformat(), "done", bucket.done
    for section, names, counts in (("age", AGES, figures.ages), ("lateness", LATENESS, figures.lateness)):
        for name, count in zip(names, counts, strict=True):
            yield section, name, "tasks", count
    for section, shares in (("person", figures.people), ("label", figures.labels)):
        for share in shares:
            for measure in ("done", "open", "overdue"):
                yield section, share.name, measure, getattr(share, measure)
    for task in figures.overdue:
        yield "overdue_task", f"{task.key} {task.title}", "days", task.days
