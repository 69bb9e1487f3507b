"""Occurrences of a repeating task that have a component of their own (RECURRENCE-ID): they belong to their series."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from app.kit.schema import rfc3339
from app.transfer.model import Comment
from app.transfer.parsing.moments import in_range
from app.transfer.parsing.recurrence import after_finished, without_first

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from app.transfer.parsing.draft import Draft
    from app.transfer.parsing.journal import Journal
    from app.transfer.readers.ical_todo import Entry


def fold(series: Entry, occurrences: Sequence[Entry], journal: Journal) -> None:
    """Each occurrence becomes a comment on its series, which moves on to its first occurrence that is not finished."""
    for occurrence in sorted(occurrences, key=lambda entry: str(entry.occurrence)):
        series.draft.comments.append(_told(occurrence, series.draft))
        message = "Occurrences of a repeating task that were changed or finished became comments on it."
        journal.warn(series.draft.place, "occurrence_kept", message)
    finished = {_local(entry.occurrence, series.zone) for entry in occurrences if _is_finished(entry.draft)}
    start = series.start
    if not finished or start is None or series.draft.recurrence is None:
        return
    local = _local(start, series.zone)
    found = after_finished(series.draft.recurrence.rrule, local, series.zone, finished)
    if found is None:
        series.draft.status = "done"
        series.draft.completed_at = max(filter(None, (entry.draft.completed_at for entry in occurrences)), default=None)
    else:
        _move(series, found[0] - local, found[1])


def _told(occurrence: Entry, series: Draft) -> Comment:
    own = occurrence.draft
    lines = [f"Occurrence of {_written(occurrence.occurrence)}: {own.status}"]
    if own.completed_at:
        lines[0] += f" at {rfc3339(own.completed_at)}"
    if own.title.strip() and own.title != series.title:
        lines.append(own.title)
    if own.due_at and own.due_at != series.due_at:
        lines.append(f"Due: {rfc3339(own.due_at)}")
    if own.description != series.description:
        lines.append(own.description)
    return Comment("\n".join([*lines, *own.kept]), created_at=own.completed_at)


def _is_finished(draft: Draft) -> bool:
    return draft.status in {"done", "cancelled"}


def _local(when: date | datetime | None, zone: tzinfo) -> datetime:
    if isinstance(when, datetime):
        return when.astimezone(zone).replace(tzinfo=None)
    return datetime.combine(when or date.min, time.min)


def _written(when: date | datetime | None) -> str:
    return rfc3339(when) if isinstance(when, datetime) else str(when)


def _move(series: Entry, by: timedelta, passed: int) -> None:
    """By local time: an occurrence at 9 o'clock stays one, whatever the clocks do in between."""
    draft = series.draft
    for name in ("start_at", "due_at"):
        if moment := getattr(draft, name):
            moved = moment.astimezone(series.zone).replace(tzinfo=None) + by
            setattr(draft, name, in_range(moved.replace(tzinfo=series.zone)))
    if draft.recurrence:
        draft.recurrence = replace(draft.recurrence, rrule=without_first(draft.recurrence.rrule, passed))
