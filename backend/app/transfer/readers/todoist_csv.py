"""Todoist's project export and templates: CSV with a row for each section, task and note.

PRIORITY 1 is the most urgent and 4 the default; INDENT 1 (or empty) is the top level and a deeper task belongs to the nearest
one above it that is less deep; `@word` in CONTENT is a label.
"""

from __future__ import annotations

import json
import re
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from app.kit.schema import zone_named
from app.transfer.errors import WrongFileFormat
from app.transfer.model import TITLE_MAX, Comment, ParsedImport, ParsedSection, Priority, Recurrence
from app.transfer.parsing import text
from app.transfer.parsing.draft import Draft, linked, name_of
from app.transfer.parsing.journal import Journal, row
from app.transfer.parsing.markup import without_marks
from app.transfer.parsing.moments import as_due, read_moment
from app.transfer.parsing.phrases import understand
from app.transfer.parsing.table import Record, Table
from app.transfer.parsing.trees import planted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from typing import BinaryIO
    from zoneinfo import ZoneInfo

_ALIASES = {"DUE_DATE": "DATE", "DUE_DATE_LANG": "DATE_LANG"}
_LANGUAGE = r"(?:[A-Za-z]{2,3}(?:[_-][A-Za-z]{2,4})?)?"
_NUMBER = r"\d*|(?i:none)"
_SHAPES = {
    "PRIORITY": r"[1-4]?",
    "INDENT": r"(?:[1-9]\d?)?",
    "DATE_LANG": _LANGUAGE,
    "DEADLINE_LANG": _LANGUAGE,
    "DURATION": _NUMBER,
    "DURATION_UNIT": r"(?:[a-z]+|None)?",
    "AUTHOR": r"(?!\d{1,2}$).*",
    "RESPONSIBLE": r"(?!\d{1,2}$).*",
    "IS_COLLAPSED": r"(?i:true|false|0|1)?",
}
"""Columns of which the form is fixed: a cell of another form shows that the fields of its row are shifted."""
_OTHERS = {"TYPE", "CONTENT", "DESCRIPTION", "DATE", "TIMEZONE", "DEADLINE"}
_TYPES = {"task", "section", "note", "meta", ""}
_PRIORITIES: dict[str, Priority] = {"1": "urgent", "2": "high", "3": "medium", "4": "none", "": "none"}
_LABEL = re.compile(r"@([^\s@]+)")
_ATTACHED = re.compile(r"\[\[file (?=\{)")
_JSON = json.JSONDecoder()
_DAY_MINUTES = 24 * 60


def is_todoist(header: list[str]) -> bool:
    return {"TYPE", "CONTENT"} <= {name.strip().upper() for name in header}


def read(file: BinaryIO, *, now: datetime, zone: ZoneInfo) -> ParsedImport:
    """Relative dates count from `now`; `zone` is for rows that name no time zone. Raises `FileRejected`."""
    journal = Journal()
    with text.opened(file, journal) as stream:
        table = Table(stream, journal, lambda name: _column(name) in _SHAPES.keys() | _OTHERS)
        if not is_todoist(table.header):
            raise WrongFileFormat("The header of a Todoist export has the columns TYPE and CONTENT.")
        return _Reading(table, journal, now, zone).run()


def _column(name: str) -> str:
    name = name.strip().upper()
    return _ALIASES.get(name, name)


class _Reading:
    def __init__(self, table: Table, journal: Journal, now: datetime, zone: ZoneInfo) -> None:
        self._columns = [_column(name) for name in table.header]
        self._table = table
        self._journal = journal
        self._now = now
        self._zone = zone
        self._sections: list[ParsedSection] = []
        self._section_lost = False
        self._drafts: list[Draft] = []
        self._above: list[tuple[int, str]] = []
        """Indent and ref of the tasks that the next one may belong to, the broken ones too."""
        self._task: Draft | None = None
        """The task to which notes belong; None while there was none, or when its row was broken."""
        self._early: list[tuple[int, Comment, int]] = []
        """Row, text and number of attachments of the notes above the first task."""

    def run(self) -> ParsedImport:
        for record in self._unbroken(self._table.rows()):
            cells = dict(zip(self._columns, record.cells, strict=False))
            if record.broken or not self._is_known(record.number, cells):
                self._lose(record)
                continue
            match cells.get("TYPE", "").strip().lower():
                case "task":
                    self._add_task(record.number, cells)
                case "section":
                    self._add_section(record.number, cells)
                case "note":
                    self._add_note(record.number, cells)
                case _:
                    self._journal.skipped += 1
        for number, _, _ in self._early:
            self._journal.error(row(number), "note_without_task", "The note belongs to no task.")
        finished = [task for draft in self._drafts if (task := draft.finish(self._journal))]
        return ParsedImport(
            format="todoist-csv",
            sections=tuple(self._sections),
            tasks=planted(finished, self._journal, lambda task: row(int(task.ref))),
            skipped=self._journal.skipped,
            errors=self._journal.errors,
            warnings=self._journal.warnings,
        )

    def _unbroken(self, rows: Iterator[Record]) -> Iterator[Record]:
        """Marks a short record as broken when the next one continues its text: a line break in it was not quoted."""
        texts = 1 + max(self._columns.index(name) for name in ("CONTENT", "DESCRIPTION") if name in self._columns)
        before: Record | None = None
        for record in chain(rows, [None]):
            if before is not None:
                goes_on = record is not None and not record.broken and self._type_of(record) not in _TYPES
                short = not before.broken and len(before.cells) <= texts < len(self._columns)
                if short and goes_on:
                    before = self._table.refused(before, "too_few_cells")
                elif not before.broken and self._is_shifted(before):
                    before = self._table.refused(before, "shifted_fields")
                yield before
            before = record

    def _type_of(self, record: Record) -> str:
        at = self._columns.index("TYPE")
        return record.cells[at].strip().lower() if len(record.cells) > at else ""

    def _is_known(self, number: int, cells: dict[str, str]) -> bool:
        kind = cells.get("TYPE", "").strip().lower()
        if kind in _TYPES and (kind or not cells.get("CONTENT", "").strip()):
            return True
        self._journal.error(row(number), "unknown_type", "TYPE is none of task, section, note and meta.")
        return False

    def _is_shifted(self, record: Record) -> bool:
        """A cell of another form than its column's, or a surplus cell and one that goes on like the sentence before it."""
        cells = zip(self._columns, record.cells, strict=False)
        if any(not re.fullmatch(_SHAPES[name], cell, re.DOTALL) for name, cell in cells if name in _SHAPES):
            return True
        after = record.cells[self._columns.index("CONTENT") + 1 :]
        return record.surplus > 0 and any(cell.startswith(" ") for cell in after)

    def _lose(self, record: Record) -> None:
        """A broken row must not leave what follows it to another task or section."""
        match self._type_of(record):
            case "section":
                self._section_lost = True
                self._above.clear()
            case "note" | "meta":
                pass
            case _:
                self._climb(_guessed_indent(record.cells), str(record.number))
                self._task = None

    def _add_section(self, number: int, cells: dict[str, str]) -> None:
        name = name_of(cells.get("CONTENT", ""), self._journal, row(number))
        self._above.clear()
        self._section_lost = not name
        if name:
            self._sections.append(ParsedSection(str(number), name))
        else:
            self._journal.error(row(number), "empty_name", "The section has no name.")

    def _add_note(self, number: int, cells: dict[str, str]) -> None:
        body, attachments = _with_links(cells.get("CONTENT", ""))
        note = Comment(body, cells.get("AUTHOR", "").strip() or None)
        if attachments:
            message = "Attached files stay where they are; they became links."
            self._journal.warn(row(number), "attachment_linked", message)
        if self._task is not None:
            self._task.comments.append(note)
            self._task.attachments += attachments
        elif self._drafts or self._above:
            self._journal.error(
                row(number), "note_without_task", "The row of the task to which the note belongs is broken."
            )
        else:
            self._early.append((number, note, attachments))

    def _add_task(self, number: int, cells: dict[str, str]) -> None:
        content = cells.get("CONTENT", "")
        words = content.split()
        labels = [found for word in words if (found := _label_of(word))]
        plain, marks = without_marks(words, lambda word: bool(_LABEL.fullmatch(word)) and _label_of(word) == word[1:])
        title = " ".join(plain)
        draft = Draft(
            place=row(number),
            ref=str(number),
            title=title if len(title) <= TITLE_MAX else content,
            parent=self._climb(int(cells.get("INDENT") or 1), str(number)),
            section=None if self._section_lost or not self._sections else self._sections[-1].ref,
            description=cells.get("DESCRIPTION", ""),
            priority=_PRIORITIES[cells.get("PRIORITY", "")],
            labels=labels,
            assignees=[name for name in [cells.get("RESPONSIBLE", "").strip()] if name],
            source={"format": "todoist-csv", "row": number},
        )
        if marks:
            draft.source["text"] = content
        if self._section_lost:
            self._journal.warn(
                draft.place, "section_lost", "The row of a section is broken; its tasks are in no section."
            )
        self._set_times(draft, cells)
        self._set_rest(draft, cells)
        self._take_early(draft)
        self._drafts.append(draft)
        self._task = draft

    def _climb(self, indent: int, ref: str) -> str | None:
        while self._above and self._above[-1][0] >= indent:
            self._above.pop()
        parent = self._above[-1][1] if self._above else None
        self._above.append((indent, ref))
        return parent

    def _take_early(self, draft: Draft) -> None:
        for number, note, attachments in self._early:
            message = "A note above the first task, one of the whole project, became a comment of that task."
            self._journal.warn(row(number), "note_of_project", message)
            draft.comments.append(note)
            draft.attachments += attachments
        self._early.clear()

    def _set_times(self, draft: Draft, cells: dict[str, str]) -> None:
        named = cells.get("TIMEZONE", "").strip()
        zone = zone_named(named) or self._zone
        if named and zone.key != named:
            draft.keep(
                self._journal, f"Time zone: {named}", "unknown_time_zone", "A time zone is not known; yours was used."
            )
        if phrase := cells.get("DATE", "").strip():
            self._set_due(draft, phrase, cells.get("DATE_LANG") or "en", zone)
        if deadline := cells.get("DEADLINE", "").strip():
            self._set_deadline(draft, deadline, zone)
        if (duration := cells.get("DURATION", "")).isdigit():
            unit = cells.get("DURATION_UNIT", "")
            if unit in {"", "minute", "day"}:
                draft.estimate_minutes = int(duration) * (_DAY_MINUTES if unit == "day" else 1)
            else:
                draft.keep(self._journal, f"Duration: {duration} {unit}", "unknown_duration", "A duration became text.")

    def _set_due(self, draft: Draft, phrase: str, language: str, zone: ZoneInfo) -> None:
        meant = understand(phrase, self._now, zone, language)
        due = as_due(meant.first, zone) if meant else None
        if meant is None or due is None:
            draft.keep(self._journal, f"Date: {phrase}", "unknown_date", "A date was not understood; it became text.")
            return
        draft.due_at = due
        if read_moment(phrase, zone) is None:
            draft.source["date"] = phrase
        if meant.rrule:
            draft.recurrence = Recurrence(meant.rrule, zone.key)
        if meant.from_completion:
            message = "A task repeated from the day it is done; it now repeats from its due date."
            draft.keep(self._journal, f"Date: {phrase}", "repeats_from_completion", message)

    def _set_deadline(self, draft: Draft, deadline: str, zone: ZoneInfo) -> None:
        meant = understand(deadline, self._now, zone)
        if draft.due_at is None and meant and not meant.rrule:
            draft.due_at = as_due(meant.first, zone)
        if draft.due_at is None or not meant or meant.rrule or draft.due_at != as_due(meant.first, zone):
            message = "A deadline beside a due date, or one that was not understood, became text."
            draft.keep(self._journal, f"Deadline: {deadline}", "deadline_kept", message)

    def _set_rest(self, draft: Draft, cells: dict[str, str]) -> None:
        if author := cells.get("AUTHOR", "").strip():
            draft.source["author"] = author
            self._journal.warn(draft.place, "author_kept", "Authors of tasks are kept in the source field.")
        if cells.get("IS_COLLAPSED", "").lower() in {"true", "1"}:
            draft.source["collapsed"] = True
        for name, cell in cells.items():
            if name not in _OTHERS and name not in _SHAPES and cell.strip():
                draft.source[name.lower()] = cell
                self._journal.warn(draft.place, "column_kept", f"The column {name[:100]} is kept in the source field.")


def _guessed_indent(cells: list[str]) -> int:
    """The indent in a shifted row: PRIORITY and INDENT are the last two digits side by side."""
    pairs = [int(after) for before, after in pairwise(cells) if f"{before} {after}" in _PAIRS]
    return pairs[-1] if pairs else 1


_PAIRS = {f"{priority} {indent}" for priority in "1234" for indent in range(1, 10)}


def _label_of(word: str) -> str:
    """The label that a word is, without the punctuation after it, or an empty text."""
    found = _LABEL.match(word)
    return found[1].rstrip(".,;:!?)]}'\"") if found else ""


def _with_links(note: str) -> tuple[str, int]:
    """The note with each `[[file {...}]]` as a link, and how many there were."""
    parts: list[str] = []
    attached = at = 0
    for found in _ATTACHED.finditer(note):
        if found.start() < at:
            continue
        try:
            file, end = _JSON.raw_decode(note, found.end())
        except (ValueError, RecursionError):
            continue
        url = _text(file, "file_url") or _text(file, "url")
        parts += note[at : found.start()], linked(_text(file, "file_name") or _text(file, "title"), url)
        at = end + 2 if note.startswith("]]", end) else end
        attached += 1
    return "".join([*parts, note[at:]]), attached


def _text(file: dict[str, Any], name: str) -> str:
    value = file.get(name)
    return value if isinstance(value, str) else ""
