from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import to_json

from app.kit.cells import neutral
from app.kit.schema import rfc3339
from app.transfer.own import COLUMNS, joined

if TYPE_CHECKING:
    from collections.abc import Mapping


class CsvWriter:
    """RFC 4180 with a header; no cell is a formula to a spreadsheet (see `kit.cells`)."""

    media_type: ClassVar[str] = "text/csv; charset=utf-8"
    ending: ClassVar[str] = "csv"

    def begin(self) -> bytes:
        return _line(COLUMNS)

    def task(self, task: Mapping[str, Any]) -> bytes:
        recurrence = task.get("recurrence") or {}
        cells = {
            **task,
            "labels": joined(task.get("labels") or []),
            "assignees": joined(task.get("assignees") or []),
            "recurrence": recurrence.get("rrule"),
            "time_zone": recurrence.get("time_zone"),
            "reminders": joined([rfc3339(moment) for moment in task.get("reminders") or []]),
            "comments": to_json(task["comments"]).decode() if task.get("comments") else None,
            "source": to_json(task["source"]).decode() if task.get("source") else None,
        }
        return _line([neutral(_cell(cells.get(name))) for name in COLUMNS])

    def end(self) -> bytes:
        return b""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return rfc3339(value) if hasattr(value, "astimezone") else str(value)


def _line(cells: list[str] | tuple[str, ...]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()
