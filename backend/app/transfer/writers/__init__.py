"""Out again: our tasks as a stream of bytes in one of four formats, in constant memory.

A writer takes tasks one by one, as mappings with the members of `own.OwnTask` (times as aware datetimes, ids as texts) and
`has_subtasks`; what is left out is empty. JSON and CSV carry everything; iCalendar and todo.txt what their formats can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from app.transfer.writers.csv_rows import CsvWriter
from app.transfer.writers.ical_todos import ICalendarWriter
from app.transfer.writers.json_document import JsonWriter
from app.transfer.writers.todotxt_lines import TodoTxtWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any, ClassVar
    from zoneinfo import ZoneInfo

    from app.transfer.model import Format


class Writer(Protocol):
    """`begin`, then `task` for each, then `end`; the answers together are the file."""

    media_type: ClassVar[str]
    ending: ClassVar[str]

    def begin(self) -> bytes: ...

    def task(self, task: Mapping[str, Any]) -> bytes: ...

    def end(self) -> bytes: ...


def writer_for(kind: Format, *, now: datetime, zone: ZoneInfo) -> Writer:
    """`kind` is one of json, csv, todotxt and icalendar; `zone` is the one in which todo.txt tells the day of a moment."""
    match kind:
        case "json":
            return JsonWriter(now)
        case "csv":
            return CsvWriter()
        case "todotxt":
            return TodoTxtWriter(zone)
        case "icalendar":
            return ICalendarWriter()
        case _:
            raise ValueError(kind)
