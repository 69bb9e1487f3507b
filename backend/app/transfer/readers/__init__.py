"""From a file to tasks: one module for each format, and which format a file has."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

from app.transfer.errors import UnknownFileFormat, WrongFileFormat
from app.transfer.parsing import table, text
from app.transfer.parsing.journal import Journal
from app.transfer.readers import csv_columns, icalendar, own_tasks, plain_csv, todoist_csv, todotxt, trello_json

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any, BinaryIO
    from zoneinfo import ZoneInfo

    from app.transfer.model import Format, ParsedImport

_TABLES = {"csv", "tsv", "tab"}
_BOARD_KEYS = re.compile(r'"(?:idBoard|idList|shortLink|labelNames|idOrganization|descData)"\s*:')


def read(
    file: BinaryIO,
    kind: Format,
    *,
    now: datetime,
    zone: ZoneInfo,
    mapping: csv_columns.Mapping | None = None,
) -> ParsedImport:
    """The whole file as `kind`; the same bytes, `now` and `zone` give the same result.

    `file` is seekable. `now` is what relative dates count from; `zone` is the user's, for times that name none. `mapping` is
    for "csv" only. Errors of single records are in the result; raises `FileRejected` where nothing can be used.
    """
    match kind:
        case "todoist-csv":
            return todoist_csv.read(file, now=now, zone=zone)
        case "todotxt":
            return todotxt.read(file, zone=zone)
        case "icalendar":
            return icalendar.read(file, zone=zone)
        case "trello-json":
            return trello_json.read(file, now=now)
        case "csv":
            return plain_csv.read(file, now=now, zone=zone, mapping=mapping)
        case "json":
            return own_tasks.read_json(file)


def detect(filename: str, head: bytes) -> Format:
    """The format of a file by its first `text.HEAD` bytes, then by its name. Raises `UnknownFileFormat`, `UnreadableFile`."""
    preview = text.preview(head).removeprefix("\ufeff")
    ending = filename.rpartition(".")[2].lower()
    if preview.lstrip()[:15].upper() == "BEGIN:VCALENDAR":
        return "icalendar"
    if text.is_document(preview) and preview.lstrip()[:1] in {"{", "["}:
        return _kind_of_json(preview)
    if text.is_document(preview) or not preview.strip():
        raise UnknownFileFormat("The file is empty or a web page.")
    header = _header(preview)
    if todoist_csv.is_todoist(header):
        return "todoist-csv"
    if ending in _TABLES or (ending != "txt" and len(header) > 1 and any(map(csv_columns.is_usual, header))):
        return "csv"
    if ending == "txt":
        return "todotxt"
    raise UnknownFileFormat


def _kind_of_json(preview: str) -> Format:
    try:
        document: Any = json.loads(preview)
    except (ValueError, RecursionError):  # it goes on beyond the head
        return "trello-json" if _BOARD_KEYS.search(preview) else "json"
    return "trello-json" if trello_json.is_board(document) else "json"


def _header(preview: str) -> list[str]:
    try:
        return table.Table(io.StringIO(preview, newline=""), Journal(), _is_column).header
    except WrongFileFormat:
        return []


def _is_column(name: str) -> bool:
    return csv_columns.is_usual(name) or name.upper() in {"TYPE", "CONTENT"}
