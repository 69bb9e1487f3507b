"""What the tests of the readers share: a fixed moment, and a file made of text."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from zoneinfo import ZoneInfo

from app.transfer import readers
from app.transfer.model import Format, ParsedImport, ParsedTask
from app.transfer.readers.csv_columns import parse_mapping

NOW = datetime(2024, 1, 10, 11, 0, tzinfo=UTC)
"""A Wednesday."""
BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def read(content: str | bytes, kind: Format, *, zone: ZoneInfo = UTC_ZONE, mapping: str | None = None) -> ParsedImport:
    data = content.encode() if isinstance(content, str) else content
    return readers.read(BytesIO(data), kind, now=NOW, zone=zone, mapping=parse_mapping(mapping) if mapping else None)


def only(parsed: ParsedImport) -> ParsedTask:
    (task,) = parsed.tasks
    return task


def titles(parsed: ParsedImport) -> list[str]:
    return [task.title for task in parsed.tasks]


def codes(problems: tuple) -> list[str]:
    return [problem.code for problem in problems]


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def row_of(parsed: ParsedImport, code: str) -> list[int | str]:
    """Where an error with that code is."""
    return [problem.place.value for problem in parsed.errors if problem.code == code]
