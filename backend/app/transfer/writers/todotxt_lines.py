from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo

_LETTERS = {"urgent": "A", "high": "B", "medium": "C", "low": "D"}
_UNITS = {"DAILY": "d", "WEEKLY": "w", "MONTHLY": "m", "YEARLY": "y"}
_SIMPLE = re.compile(r"FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(?:;INTERVAL=(\d+))?")


class TodoTxtWriter:
    """A line a task. The format has days but no times, and no descriptions, comments or sections: these stay behind.

    Subtasks are `p:` with the `id:` of the task above, which is there where a task says `has_subtasks`.
    """

    media_type: ClassVar[str] = "text/plain; charset=utf-8"
    ending: ClassVar[str] = "txt"

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def begin(self) -> bytes:
        return b""

    def task(self, task: Mapping[str, Any]) -> bytes:
        return (" ".join(self._words(task)) + "\n").encode()

    def end(self) -> bytes:
        return b""

    def _words(self, task: Mapping[str, Any]) -> Iterator[str]:
        letter = _LETTERS.get(task.get("priority") or "none")
        done = task.get("status") == "done"
        if done:
            yield "x"
            yield self._day(task.get("completed_at") or task.get("created_at"))
        elif letter:
            yield f"({letter})"
        # A creation date always: without it a title that begins with a date, `x` or `(A)` would be taken for these.
        yield self._day(task.get("created_at"))
        words = task["title"].split()
        marks = list(_marks(task, words))
        # The first project of a line is its project, so it stands before a title with a mark of its own.
        front = [mark for mark in marks[:1] if mark[0] == "+" and any(word.startswith("+") for word in words)]
        yield from front
        yield from words
        yield from marks[len(front) :]
        yield from self._pairs(task, letter if done else None)

    def _pairs(self, task: Mapping[str, Any], letter: str | None) -> Iterator[str]:
        if letter:
            yield f"pri:{letter}"
        if task.get("start_at"):
            yield f"t:{self._day(task['start_at'])}"
        if task.get("due_at"):
            yield f"due:{self._day(task['due_at'])}"
        if recurrence := task.get("recurrence"):
            simple = _SIMPLE.fullmatch(recurrence["rrule"])
            yield f"rec:+{simple[2] or 1}{_UNITS[simple[1]]}" if simple else f"rrule:{recurrence['rrule']}"
        if task.get("status") not in {None, "todo", "done"}:
            yield f"status:{task['status']}"
        if task.get("archived_at"):
            yield f"archived:{self._day(task['archived_at'])}"
        if task.get("has_subtasks"):
            yield f"id:{task['id']}"
        if task.get("parent_id"):
            yield f"p:{task['parent_id']}"

    def _day(self, moment: datetime | None) -> str:
        return moment.astimezone(self._zone).date().isoformat() if moment else "1970-01-01"


def _marks(task: Mapping[str, Any], words: list[str]) -> Iterator[str]:
    """The project and the labels, those left out that stand in the title."""
    names = [("+", task["project"])] if task.get("project") else []
    for sign, name in [*names, *(("@", label) for label in task.get("labels") or [])]:
        mark = sign + "_".join(name.split())
        if sign == "+" or mark not in words:
            yield mark
