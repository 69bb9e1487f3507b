"""Which column of a foreign table is which field of a task: as the user says, or by the usual names."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from app.transfer.errors import InvalidMapping
from app.transfer.parsing.journal import printable

_USUAL: dict[str, str] = {
    "title": "title name taskname tasktitle task summary subject issuetitle cardname todo item content text description "
    "titel betreff aufgabe titre tâche título tarea titolo",
    "description": "description body notes note details content text desc beschreibung notizen descripción descrizione",
    "project": "projectname project projects list listname board projekt projet proyecto",
    "section": "section sectioncolumn sectionname column columnname bucket bucketname group abschnitt sección",
    "labels": "labels label tags tag categories category keywords etiketten kategorien étiquettes etiquetas",
    "status": "status state bucketstatus",
    "done": "done completed complete iscompleted isdone checked finished erledigt",
    "priority": "priority prio priorität priorité prioridad",
    "assignees": "assigneeemail assignees assignee assignedto owner responsible zugewiesen",
    "start_at": "startdate startat start starton starttime begin",
    "due_at": "duedate dueat due dueon deadline enddate targetdate fällig fälligkeitsdatum échéance",
    "completed_at": "completedat completeddate completiondate datecompleted completedon completedtime closedat resolved doneat",
    "created_at": "createdat createddate creationdate datecreated createdon createdtime created",
    "archived_at": "archivedat archived isarchived",
    "estimate_minutes": "estimateminutes estimatedminutes durationminutes",
    "recurrence": "recurrence rrule recurrencerule repeat",
    "parent": "parentid parenttaskid parenttask parent parentkey",
    "id": "id taskid issueid uuid key issuekey number",
    "comments": "comments comment",
}
FIELDS = tuple(_USUAL)
_MANY = {"labels", "assignees", "comments", "id"}
"""Fields that may come from several columns."""
_SEPARATOR_MAX = 10


@dataclass(frozen=True, slots=True)
class Source:
    """Columns of one field: several are joined by `separator`, and the parts of a list are split at it."""

    columns: tuple[str, ...]
    separator: str | None = None


Mapping = dict[str, Source]


def parse_mapping(text: str) -> Mapping:
    """The form field `mapping`: a JSON object of our field -> their column, a list of columns, or an object
    `{"column": ..., "separator": ...}` (or `"columns"`). Raises `InvalidMapping`.
    """
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidMapping("The mapping is not valid JSON.") from None
    if not isinstance(members, dict) or not members:
        raise InvalidMapping("The mapping is not a JSON object of our fields and their columns.")
    if unknown := [name for name in members if name not in FIELDS]:
        raise InvalidMapping(
            f"The mapping has unknown fields, {len(unknown)} in number; known are {', '.join(FIELDS)}."
        )
    if "title" not in members:
        raise InvalidMapping("The mapping does not say which column is the title.")
    return {name: _source(name, value) for name, value in members.items()}


def _source(name: str, value: Any) -> Source:
    if isinstance(value, dict):
        columns, separator = value.get("columns", value.get("column")), value.get("separator")
        known = {"column", "columns", "separator"} >= value.keys()
    else:
        columns, separator, known = value, None, True
    columns = [columns] if isinstance(columns, str) else columns
    good = isinstance(columns, list) and columns and all(isinstance(column, str) and column for column in columns)
    usable = separator is None or (isinstance(separator, str) and 0 < len(separator) <= _SEPARATOR_MAX)
    if not (good and usable and known):
        raise InvalidMapping(
            f"In the mapping, {name} is no column, list of columns, or object of column and separator."
        )
    return Source(tuple(columns), separator)  # type: ignore[arg-type]


class Columns:
    """Where in a record each field stands."""

    def __init__(self, header: list[str], mapping: Mapping | None) -> None:
        """Raises `InvalidMapping` where a column, or the title, is not to be found."""
        self.header = header
        self._at = _mapped(header, mapping) if mapping else _guessed(header)
        self._separators = {name: source.separator for name, source in (mapping or {}).items()}
        if "title" not in self._at:
            raise InvalidMapping(
                f"No column is known to be the title; name it in `mapping`. There are: {_listed(header)}."
            )
        used = {index for indexes in self._at.values() for index in indexes}
        self.others = [(index, name) for index, name in enumerate(header) if index not in used]
        """The columns that are no field."""

    def text(self, cells: list[str], name: str) -> str:
        """The field's cell; those of several columns that are filled, joined."""
        filled = [cell for cell in self._cells(cells, name) if cell.strip()]
        return (self._separators.get(name) or " / ").join(filled)

    def texts(self, cells: list[str], name: str) -> list[str]:
        """The parts of a list: a JSON list, or split at the given separator, or else the likeliest one."""
        return [part for cell in self._cells(cells, name) for part in _parts(cell, self._separators.get(name))]

    def filled(self, cells: list[str], name: str) -> list[str]:
        return [cell for cell in self._cells(cells, name) if cell.strip()]

    def _cells(self, cells: list[str], name: str) -> list[str]:
        return [cells[index] for index in self._at.get(name, ()) if index < len(cells)]


def is_usual(column: str) -> bool:
    return _plain(column) in _ALL_USUAL


def _mapped(header: list[str], mapping: Mapping) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index, name in enumerate(header):
        places.setdefault(name.casefold(), []).append(index)
    found: dict[str, list[int]] = {}
    for field, source in mapping.items():
        for column in source.columns:
            if column.strip().casefold() not in places:
                raise InvalidMapping(
                    f"The mapping of {field} names a column that is not there. There are: {_listed(header)}."
                )
            found.setdefault(field, []).extend(places[column.strip().casefold()])
    return found


def _guessed(header: list[str]) -> dict[str, list[int]]:
    """Each column is one field at most; the names that say most come first."""
    plain = [_plain(name) for name in header]
    found: dict[str, list[int]] = {}
    taken: set[int] = set()
    for field, usual in _USUAL.items():
        for name in usual.split():
            places = [index for index, column in enumerate(plain) if column == name and index not in taken]
            if places and (field in _MANY or field not in found):
                places = places if field in _MANY else places[:1]
                found.setdefault(field, []).extend(places)
                taken.update(places)
    return found


def _parts(cell: str, separator: str | None) -> list[str]:
    cell = cell.strip()
    if separator:
        return [part.strip() for part in cell.split(separator) if part.strip()]
    if cell.startswith("["):
        try:
            parts = json.loads(cell)
        except (ValueError, RecursionError):
            parts = None
        if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
            return parts
    likely = next((mark for mark in "|;\n," if mark in cell), None)
    return [part.strip() for part in (cell.split(likely) if likely else [cell]) if part.strip()]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _listed(header: list[str]) -> str:
    return ", ".join(printable(name)[:40] or "(no name)" for name in header[:20])


_ALL_USUAL = {name for usual in _USUAL.values() for name in usual.split()}
