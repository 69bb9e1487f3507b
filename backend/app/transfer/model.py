"""What every reader makes of a file: tasks in our own terms, and an account of everything that is not a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

Format = Literal["todoist-csv", "todotxt", "icalendar", "trello-json", "csv", "json"]
FORMATS: tuple[Format, ...] = ("todoist-csv", "todotxt", "icalendar", "trello-json", "csv", "json")
Status = Literal["todo", "in_progress", "blocked", "done", "cancelled"]
Priority = Literal["none", "low", "medium", "high", "urgent"]

# The words and bounds are those of `tasks.schemas`, which a test compares: to load what speaks HTTP is not for workers.
TITLE_MAX = 500
"""Characters."""
DESCRIPTION_MAX = 65_536
"""Characters; comments have the same bound."""
PROJECT_DESCRIPTION_MAX = 10_000
NAME_MAX = 100
"""Characters of the name of a label, project or section."""
LABELS_MAX = 100
"""Labels of one task."""
ESTIMATE_MAX = 60 * 24 * 365 * 10
"""Minutes in ten years."""
RRULE_MAX = 500


@dataclass(frozen=True, slots=True)
class Recurrence:
    """An RFC 5545 RRULE value without its name, and the IANA zone in which its days begin."""

    rrule: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Comment:
    body: str
    author: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ParsedProject:
    ref: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class ParsedSection:
    """`project` is the ref of its project; None is the project that the import goes into."""

    ref: str
    name: str
    project: str | None = None
    archived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTask:
    """One task within all bounds of the product. Moments are aware and lie in the years 1970 to 9999.

    `parent`, `project` and `section` are refs into the same `ParsedImport`. `assignees` are the texts of the file (a name or
    an address). `attachments` counts files that are linked from the description or a comment. A done task without
    `completed_at` is one whose file does not say when; one without `position` stands where the file has it.
    """

    ref: str
    title: str
    parent: str | None = None
    project: str | None = None
    section: str | None = None
    description: str = ""
    status: Status = "todo"
    priority: Priority = "none"
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    start_at: datetime | None = None
    due_at: datetime | None = None
    estimate_minutes: int | None = None
    recurrence: Recurrence | None = None
    reminders: tuple[datetime, ...] = ()
    comments: tuple[Comment, ...] = ()
    attachments: int = 0
    completed_at: datetime | None = None
    archived_at: datetime | None = None
    position: float | None = None
    created_at: datetime | None = None
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the file: a record number counted from 1 (a header is 1), or the item's own name."""

    kind: Literal["row", "item"]
    value: int | str


@dataclass(frozen=True, slots=True)
class Problem:
    """`count` is how often a warning was given; `place` is its first."""

    code: str
    message: str
    place: Place | None = None
    count: int = 1

    def as_json(self) -> dict[str, Any]:
        place: dict[str, Any] = {self.place.kind: self.place.value} if self.place else {}
        count = {"count": self.count} if self.count > 1 else {}
        return {**place, "code": self.code, "message": self.message, **count}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedImport:
    """A whole file. Parents stand before their children; otherwise tasks and sections keep the order of the file."""

    format: Format
    projects: tuple[ParsedProject, ...] = ()
    sections: tuple[ParsedSection, ...] = ()
    tasks: tuple[ParsedTask, ...] = ()
    skipped: int = 0
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def result(self, *, aborted: bool = False) -> dict[str, Any]:
        """The job's result. `aborted` says that nothing came in: all counts are 0.

        Of errors and warnings the first that fit are named; `error_count` and `warning_count` say how many there are.
        """
        return {
            "format": self.format,
            **(dict.fromkeys(_COUNTS, 0) if aborted else self._counts()),
            "error_count": len(self.errors),
            "warning_count": len(self.warnings),
            "errors": _fitting(self.errors),
            "warnings": _fitting(self.warnings),
        }

    def _counts(self) -> dict[str, int]:
        tasks = self.tasks
        counts = (
            len(self.projects),
            len(self.sections),
            len(tasks),
            sum(task.parent is not None for task in tasks),
            sum(task.status == "done" for task in tasks),
            sum(task.archived_at is not None for task in tasks),
            len({label.lower() for task in tasks for label in task.labels}),
            sum(len(task.comments) for task in tasks),
            sum(task.due_at is not None for task in tasks),
            sum(task.recurrence is not None for task in tasks),
            sum(len(task.reminders) for task in tasks),
            sum(task.attachments for task in tasks),
            self.skipped,
        )
        return dict(zip(_COUNTS, counts, strict=True))


def _fitting(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    named, room = [], _PROBLEMS_MAX_BYTES
    for problem in problems:
        entry = problem.as_json()
        room -= len(to_json(entry)) + 1
        if room < 0:
            break
        named.append(entry)
    return named


_PROBLEMS_MAX_BYTES = 24_576
"""Of errors, and of warnings: with both, a job's result stays well below what one may take (64 kB)."""
_COUNTS = (
    "projects",
    "sections",
    "tasks",
    "subtasks",
    "done",
    "archived",
    "labels",
    "comments",
    "due",
    "recurring",
    "reminders",
    "attachments",
    "skipped",
)
