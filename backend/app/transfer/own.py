"""The shape of a task in our own exports, JSON and CSV: what the writers write and the readers take back unchanged.

What makes a task this one row of this service (its `id`, `key` and `version`, who made it, its place in lists) is there for
people and programs; on the way in it is given anew.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from app.kit.cells import restored
from app.kit.schema import Instant, zone_named
from app.transfer.model import Comment, Place, Priority, Recurrence, Status
from app.transfer.parsing.draft import Draft
from app.transfer.parsing.journal import Journal
from app.transfer.parsing.recurrence import rule_of

FORMAT = "task-management-api"
VERSION = 1
COLUMNS = (
    "id",
    "key",
    "workspace_id",
    "project_id",
    "project",
    "section_id",
    "section",
    "parent_id",
    "title",
    "description",
    "status",
    "priority",
    "labels",
    "assignees",
    "start_at",
    "due_at",
    "estimate_minutes",
    "recurrence",
    "time_zone",
    "reminders",
    "comments",
    "attachment_count",
    "position",
    "completed_at",
    "archived_at",
    "source",
    "created_by",
    "created_at",
    "updated_at",
    "version",
)
"""Of our CSV. `recurrence` is the rule and `time_zone` its zone; `labels`, `assignees` and `reminders` are separated by `|`;
`comments` and `source` are JSON."""
_PARTS = re.compile(r"(?:\\.|[^|])+", re.DOTALL)


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class OwnComment(_Model):
    body: str
    author: str | None = None
    created_at: Instant | None = None


class OwnRecurrence(_Model):
    rrule: str
    time_zone: str = "UTC"


class OwnTask(_Model):
    """A task with the names of what it refers to. `assignees` are addresses; the fields' bounds are those of `Draft`.

    Unknown fields stay in `model_extra`.
    """

    model_config = ConfigDict(extra="allow")

    title: str
    id: str | None = None
    key: str | None = None
    workspace_id: str | None = None
    project_id: str | None = None
    project: str | None = None
    section_id: str | None = None
    section: str | None = None
    parent_id: str | None = None
    description: str | None = None
    status: Status = "todo"
    priority: Priority = "none"
    labels: list[str] = []
    assignees: list[str] = []
    start_at: Instant | None = None
    due_at: Instant | None = None
    estimate_minutes: int | None = None
    recurrence: OwnRecurrence | None = None
    reminders: list[Instant] = []
    comments: list[OwnComment] = []
    attachment_count: int | None = None
    position: float | None = None
    completed_at: Instant | None = None
    archived_at: Instant | None = None
    source: dict[str, JsonValue] | None = None
    created_by: str | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None
    version: int | None = None

    def draft(self, journal: Journal, place: Place, ref: str) -> Draft:
        draft = Draft(
            place=place,
            ref=ref,
            title=self.title,
            exact=True,
            parent=self.parent_id or None,
            description=self.description or "",
            status=self.status,
            priority=self.priority,
            labels=self.labels,
            assignees=self.assignees,
            start_at=self.start_at,
            due_at=self.due_at,
            estimate_minutes=self.estimate_minutes,
            reminders=self.reminders,
            comments=[Comment(one.body, one.author, one.created_at) for one in self.comments],
            completed_at=self.completed_at,
            archived_at=self.archived_at,
            position=self.position,
            created_at=self.created_at,
            source=dict(self.source or {}),
        )
        if self.attachment_count:
            journal.warn(place, "attachments_left_out", "Tasks had attachments; their files are not part of an export.")
        if self.recurrence:
            self._set_recurrence(draft, journal, self.recurrence)
        for name, value in (self.model_extra or {}).items():
            if value not in (None, "", [], {}):
                draft.source[name] = value
                journal.warn(place, "field_kept", "Unknown fields are kept in the source field.")
        return draft

    def _set_recurrence(self, draft: Draft, journal: Journal, recurrence: OwnRecurrence) -> None:
        rule = rule_of(recurrence.rrule)
        if rule and zone_named(recurrence.time_zone):
            draft.recurrence = Recurrence(rule, recurrence.time_zone)
        else:
            line = f"RRULE:{recurrence.rrule} ({recurrence.time_zone})"
            draft.keep(journal, line, "unknown_recurrence", "A recurrence was not understood; it became text.")


def joined(parts: list[str]) -> str:
    return "|".join(re.sub(r"[\\|]", r"\\\g<0>", part) for part in parts)


def parted(cell: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in _PARTS.findall(cell)]


def from_cells(cells: dict[str, str]) -> dict[str, Any]:
    """The members of an `OwnTask` from the cells of a row, neutral ones restored. Raises ValueError for broken JSON or numbers."""
    filled = {name: restored(cell) for name, cell in cells.items() if cell}
    members: dict[str, Any] = {"title": "", **filled}
    for name in ("labels", "assignees", "reminders"):
        if name in filled:
            members[name] = parted(filled[name])
    for name in ("comments", "source"):
        if name in filled:
            members[name] = json.loads(filled[name])
    for name, number in (("estimate_minutes", int), ("attachment_count", int), ("version", int), ("position", float)):
        if name in filled:
            members[name] = number(filled[name])
    zone = members.pop("time_zone", "UTC")
    if "recurrence" in filled:
        members["recurrence"] = {"rrule": filled["recurrence"], "time_zone": zone}
    return members
