"""Tables of any origin: our own exports by their header, others by a mapping or the usual names of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.transfer.errors import WrongFileFormat
from app.transfer.model import Comment, ParsedImport, ParsedProject, ParsedSection, ParsedTask, Place, Recurrence
from app.transfer.own import COLUMNS
from app.transfer.parsing import text
from app.transfer.parsing.draft import Draft, name_of
from app.transfer.parsing.journal import Journal, printable, row
from app.transfer.parsing.moments import as_due, as_start, read_moment
from app.transfer.parsing.recurrence import rule_of
from app.transfer.parsing.table import Record, Table
from app.transfer.parsing.trees import planted
from app.transfer.readers import own_tasks
from app.transfer.readers.csv_columns import Columns, Mapping, is_usual
from app.transfer.readers.words import priority_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime
    from typing import BinaryIO
    from zoneinfo import ZoneInfo


def read(file: BinaryIO, *, now: datetime, zone: ZoneInfo, mapping: Mapping | None = None) -> ParsedImport:
    """Dates and times without an offset are those of `zone`; `now` is when tasks were archived that do not say it.

    Raises `FileRejected`.
    """
    if text.is_document(text.preview(text.head_of(file))):
        raise WrongFileFormat("The file is a calendar, JSON or a web page, not a table.")
    journal = Journal()
    named = {column.strip().casefold() for source in (mapping or {}).values() for column in source.columns}
    with text.opened(file, journal) as stream:
        table = Table(
            stream, journal, lambda name: name.casefold() in named if named else name in COLUMNS or is_usual(name)
        )
        if mapping is None and own_tasks.is_own_header(table.header):
            return own_tasks.read_csv(table, journal)
        return _Reading(table, Columns(table.header, mapping), journal, now, zone).run()


class _Reading:
    def __init__(self, table: Table, columns: Columns, journal: Journal, now: datetime, zone: ZoneInfo) -> None:
        self._table = table
        self._columns = columns
        self._journal = journal
        self._now = now
        self._zone = zone
        self._projects: dict[str, ParsedProject] = {}
        self._sections: dict[str, ParsedSection] = {}
        self._drafts: list[Draft] = []
        self._ids: dict[str, str] = {}
        """Refs by the ids of tasks."""
        self._titles: dict[str, str] = {}
        """Refs by titles, empty for a title of several tasks."""

    def run(self) -> ParsedImport:
        for record in self._table.rows():
            if record.broken:
                continue
            if len(record.cells) < len(self._columns.header):
                self._table.refused(record, "too_few_cells")
            elif record.surplus > self._table.dialect.surplus:
                self._table.refused(record, "too_many_cells")
            else:
                self._add(record)
        for draft in self._drafts:
            self._set_parent(draft)
        finished = [task for draft in self._drafts if (task := draft.finish(self._journal))]
        return ParsedImport(
            format="csv",
            projects=tuple(self._projects.values()),
            sections=tuple(self._sections.values()),
            tasks=planted(finished, self._journal, _place),
            skipped=self._journal.skipped,
            errors=self._journal.errors,
            warnings=self._journal.warnings,
        )

    def _add(self, record: Record) -> None:
        cells, columns = record.cells, self._columns
        draft = Draft(
            place=row(record.number),
            ref=str(record.number),
            title=columns.text(cells, "title"),
            parent=columns.text(cells, "parent").strip() or None,
            description=columns.text(cells, "description"),
            labels=columns.texts(cells, "labels"),
            assignees=columns.texts(cells, "assignees"),
            comments=[Comment(body) for body in columns.filled(cells, "comments")],
            source={"format": "csv", "row": record.number},
        )
        self._set_place(draft, cells)
        self._set_times(draft, cells)
        self._set_state(draft, cells)
        self._set_rest(draft, cells)
        self._drafts.append(draft)
        for name in columns.filled(cells, "id"):
            self._ids.setdefault(name.strip(), draft.ref)
        title = draft.title.strip()
        self._titles[title] = "" if title in self._titles else draft.ref

    def _set_place(self, draft: Draft, cells: list[str]) -> None:
        project = self._columns.text(cells, "project").strip()
        section = self._columns.text(cells, "section").strip()
        if project:
            draft.project = project
            if project not in self._projects:
                self._projects[project] = ParsedProject(project, name_of(project, self._journal, draft.place))
        if section:
            draft.section = f"{project}\n{section}"
            if draft.section not in self._sections:
                name = name_of(section, self._journal, draft.place)
                self._sections[draft.section] = ParsedSection(draft.section, name, draft.project)

    def _set_times(self, draft: Draft, cells: list[str]) -> None:
        draft.due_at = self._time(draft, cells, "due_at", as_due)
        draft.start_at = self._time(draft, cells, "start_at", as_start)
        draft.completed_at = self._time(draft, cells, "completed_at", as_start)
        draft.created_at = self._time(draft, cells, "created_at", as_start)
        archived = self._columns.text(cells, "archived_at").strip()
        if archived and status_of(archived) == "done":  # a plain yes
            draft.archived_at = self._now
        elif archived and status_of(archived) != "todo":
            draft.archived_at = self._time(draft, cells, "archived_at", as_start)

    def _time(
        self,
        draft: Draft,
        cells: list[str],
        name: str,
        at: Callable[[date | datetime, ZoneInfo], datetime | None],
    ) -> datetime | None:
        written = self._columns.text(cells, name).strip()
        when = read_moment(written, self._zone) if written else None
        moment = at(when, self._zone) if when else None
        if written and moment is None:
            message = "A date was not understood, or could be two; it became text."
            draft.keep(self._journal, f"{name}: {written}", "unknown_date", message)
        return moment

    def _set_state(self, draft: Draft, cells: list[str]) -> None:
        word = self._columns.text(cells, "status").strip()
        done = self._columns.text(cells, "done").strip()
        status = status_of(word) if word else None
        if word and status is None:
            draft.keep(
                self._journal, f"Status: {word}", "unknown_status", "A status was not understood; it became text."
            )
        ticked = status_of(done) == "done" or bool(done and read_moment(done, self._zone))
        if done and not ticked and status_of(done) != "todo":
            draft.keep(self._journal, f"Done: {done}", "unknown_status", "A status was not understood; it became text.")
        draft.status = "done" if ticked else status or ("done" if draft.completed_at and not done else "todo")
        word = self._columns.text(cells, "priority").strip()
        priority = priority_of(word) if word else "none"
        if priority is None:
            message = "A priority was not understood; it became text."
            draft.keep(self._journal, f"Priority: {word}", "unknown_priority", message)
        draft.priority = priority or "none"

    def _set_rest(self, draft: Draft, cells: list[str]) -> None:
        columns = self._columns
        estimate = columns.text(cells, "estimate_minutes").strip()
        if estimate.isascii() and estimate.isdigit() and len(estimate) <= len("5256000"):
            draft.estimate_minutes = int(estimate)
        elif estimate:
            message = "An estimate that is no number of minutes became text."
            draft.keep(self._journal, f"Estimate: {estimate}", "unknown_estimate", message)
        if rule := columns.text(cells, "recurrence").strip():
            known = rule_of(rule)
            if known:
                draft.recurrence = Recurrence(known, self._zone.key)
            else:
                message = "A recurrence was not understood; it became text."
                draft.keep(self._journal, f"Recurrence: {rule}", "unknown_recurrence", message)
        if ids := columns.filled(cells, "id"):
            draft.source["id"] = ids[0].strip() if len(ids) == 1 else [one.strip() for one in ids]
        others = {name or f"column {index + 1}": cells[index] for index, name in columns.others if cells[index].strip()}
        if others:
            draft.source["columns"] = others
        for name in others:
            message = f"The column {printable(name)[:60]} has no field of ours; it is kept in the source field."
            self._journal.warn(draft.place, "column_kept", message)

    def _set_parent(self, draft: Draft) -> None:
        """A parent is named by its id or, where only one task has it, by its title."""
        if draft.parent is None:
            return
        ref = self._ids.get(draft.parent) or self._titles.get(draft.parent)
        if not ref or ref == draft.ref:
            draft.kept.append(f"Parent: {draft.parent}")
        # A ref is a number; no task has this one, so that the missing parent is warned of like everywhere.
        draft.parent = ref or "missing"


def _place(task: ParsedTask) -> Place:
    return row(int(task.ref))
