"""iCalendar (RFC 5545): each VTODO is a task; events, journals and free-busy times are not.

A time without a zone, and a date, are those of the user. Categories are labels, alarms reminders, RELATED-TO makes subtasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.transfer.model import ParsedImport, ParsedProject, ParsedSection
from app.transfer.parsing.draft import name_of
from app.transfer.parsing.journal import Journal
from app.transfer.parsing.trees import planted
from app.transfer.readers.ical_lines import Scan
from app.transfer.readers.ical_series import fold
from app.transfer.readers.ical_todo import Entry, TodoReader
from app.transfer.readers.ical_zones import Zones

if TYPE_CHECKING:
    from typing import BinaryIO
    from zoneinfo import ZoneInfo


def read(file: BinaryIO, *, zone: ZoneInfo) -> ParsedImport:
    """`zone` is for dates and for times that name none. Raises `FileRejected`."""
    journal = Journal()
    scan = Scan(file, journal)
    reader = TodoReader(journal, Zones(scan.zones), zone)
    entries = [reader.read(component, number) for number, component in enumerate(scan.todos, 1)]
    return _Reading(journal, scan.calendar.get("X-WR-CALNAME") or scan.calendar.get("NAME", "")).run(entries)


class _Reading:
    def __init__(self, journal: Journal, calendar: str) -> None:
        self._journal = journal
        self._calendar = calendar
        self._projects: dict[str, ParsedProject] = {}
        self._sections: dict[str, ParsedSection] = {}
        self._tasks: dict[str, Entry] = {}
        """By ref, which is the UID where there is one and it is the first."""

    def run(self, entries: list[Entry]) -> ParsedImport:
        occurrences: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.occurrence is None:
                self._add(entry)
            else:
                occurrences.setdefault(entry.uid, []).append(entry)
        for uid, ofuid in occurrences.items():
            self._fold(uid, ofuid)
        self._adopt()
        for entry in self._tasks.values():
            self._place(entry)
        finished = [task for entry in self._tasks.values() if (task := entry.draft.finish(self._journal))]
        return ParsedImport(
            format="icalendar",
            projects=tuple(self._projects.values()),
            sections=tuple(self._sections.values()),
            tasks=planted(finished, self._journal, lambda task: self._tasks[task.ref].draft.place),
            skipped=self._journal.skipped,
            errors=self._journal.errors,
            warnings=self._journal.warnings,
        )

    def _add(self, entry: Entry) -> None:
        """A second component with the same UID and title is another revision of the task: the newest one counts."""
        known = self._tasks.get(entry.uid)
        if known and known.draft.title == entry.draft.title:
            self._journal.skipped += 1
            message = "Several components are revisions of one task; the newest came in."
            self._journal.warn(entry.draft.place, "older_revision", message)
            if entry.revision > known.revision:
                entry.draft.ref = entry.uid
                self._tasks[entry.uid] = entry
            return
        if known:
            self._journal.warn(entry.draft.place, "duplicate_uid", "Different tasks have the same UID; all came in.")
        entry.draft.ref = entry.uid if entry.uid and not known else f"{entry.uid}#{len(self._tasks)}"
        self._tasks[entry.draft.ref] = entry

    def _fold(self, uid: str, occurrences: list[Entry]) -> None:
        if series := self._tasks.get(uid):
            fold(series, occurrences, self._journal)
            return
        for entry in occurrences:
            message = "An occurrence whose series is not in the file became a task of its own."
            self._journal.warn(entry.draft.place, "series_missing", message)
            entry.draft.ref = f"{uid}#{entry.occurrence}#{len(self._tasks)}"
            self._tasks[entry.draft.ref] = entry

    def _adopt(self) -> None:
        """RELATED-TO;RELTYPE=CHILD says from above what a parent link says from below."""
        for ref, entry in self._tasks.items():
            for uid in entry.children:
                child = self._tasks.get(uid)
                if child and child.draft.parent is None:
                    child.draft.parent = ref

    def _place(self, entry: Entry) -> None:
        """Our own exports name project and section; in other calendars the calendar is the project."""
        draft = entry.draft
        project = draft.source.pop("X-TASKAPI-PROJECT", self._calendar).strip()
        section = draft.source.pop("X-TASKAPI-SECTION", "").strip()
        if project:
            draft.project = project
            if project not in self._projects:
                self._projects[project] = ParsedProject(project, name_of(project, self._journal, draft.place))
        if section:
            draft.section = f"{project}\n{section}"
            if draft.section not in self._sections:
                name = name_of(section, self._journal, draft.place)
                self._sections[draft.section] = ParsedSection(draft.section, name, draft.project)
