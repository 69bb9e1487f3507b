"""Our own exports on the way back in, from JSON or CSV, and JSON lists of tasks in general."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.transfer.errors import WrongFileFormat
from app.transfer.model import Format, ParsedImport, ParsedProject, ParsedSection, ParsedTask, Place
from app.transfer.own import COLUMNS, OwnTask, from_cells
from app.transfer.parsing.document import loaded
from app.transfer.parsing.draft import Draft, name_of
from app.transfer.parsing.journal import Journal, item, row
from app.transfer.parsing.trees import planted

if TYPE_CHECKING:
    from typing import BinaryIO

    from app.transfer.parsing.table import Table


def is_own_header(header: list[str]) -> bool:
    return {*COLUMNS} <= {*header}


def read_json(file: BinaryIO) -> ParsedImport:
    """A list of tasks, or an object with one in `tasks` or `items`. Raises `FileRejected`."""
    journal = Journal()
    document = loaded(file, journal)
    name = "items" if isinstance(document, dict) and "tasks" not in document else "tasks"
    entries = document.get(name) if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise WrongFileFormat("The document is no list of tasks, and has none in `tasks`.")
    gathering = _Gathering(journal)
    for index, entry in enumerate(entries):
        place = item(f"/{name}/{index}" if isinstance(document, dict) else f"/{index}")
        if isinstance(entry, dict):
            gathering.add(place, entry)
        else:
            journal.error(place, "not_an_object", "A task is not an object.")
    return gathering.finish("json")


def read_csv(table: Table, journal: Journal) -> ParsedImport:
    """The rows of a table with our own header."""
    gathering = _Gathering(journal)
    for record in table.rows():
        if record.broken:
            continue
        if len(record.cells) < len(table.header):
            table.refused(record, "too_few_cells")
            continue
        try:
            members = from_cells(dict(zip(table.header, record.cells, strict=True)))
        except (ValueError, RecursionError):
            message = "A number, or the JSON of comments or source, is broken."
            journal.error(row(record.number), "invalid_field", message)
            continue
        gathering.add(row(record.number), members)
    return gathering.finish("csv")


class _Gathering:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._projects: dict[str, ParsedProject] = {}
        self._sections: dict[str, ParsedSection] = {}
        self._drafts: dict[str, Draft] = {}

    def add(self, place: Place, members: dict[str, Any]) -> None:
        try:
            task = OwnTask.model_validate(members)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_context=False, include_input=False):
                where = ".".join(str(part) for part in problem["loc"])[:100]
                self._journal.error(place, "invalid_field", f"{where}: {problem['msg']}")
            return
        ref = task.id if task.id and task.id not in self._drafts else f"{place.value}#{len(self._drafts)}"
        if task.id and ref != task.id:
            self._journal.warn(place, "duplicate_id", "Several tasks have one id; all came in.")
        draft = task.draft(self._journal, place, ref)
        draft.project = self._project(task, place)
        draft.section = self._section(task, draft.project, place)
        self._drafts[ref] = draft

    def finish(self, kind: Format) -> ParsedImport:
        finished = [task for draft in self._drafts.values() if (task := draft.finish(self._journal))]
        return ParsedImport(
            format=kind,
            projects=tuple(self._projects.values()),
            sections=tuple(self._sections.values()),
            tasks=planted(finished, self._journal, self._place),
            skipped=self._journal.skipped,
            errors=self._journal.errors,
            warnings=self._journal.warnings,
        )

    def _place(self, task: ParsedTask) -> Place:
        return self._drafts[task.ref].place

    def _project(self, task: OwnTask, place: Place) -> str | None:
        """By id, so that two projects of one name stay two."""
        if not task.project or not task.project.strip():
            return None
        ref = task.project_id or task.project
        if ref not in self._projects:
            self._projects[ref] = ParsedProject(ref, name_of(task.project, self._journal, place))
        return ref

    def _section(self, task: OwnTask, project: str | None, place: Place) -> str | None:
        if not task.section or not task.section.strip():
            return None
        ref = f"{project}\n{task.section_id or task.section}"
        if ref not in self._sections:
            self._sections[ref] = ParsedSection(ref, name_of(task.section, self._journal, place), project)
        return ref
