"""Bringing a parsed file in. Everything of one file comes in with one commit, or nothing does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.kit.clock import utc_now
from app.kit.errors import InvalidReference
from app.labels.service import labels_named
from app.models import Project
from app.projects.service import project_named, section_named
from app.tasks.bulk import NewTask, insert_all
from app.transfer import repository
from app.transfer.model import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope
    from app.tasks.service import Writer
    from app.transfer.model import ParsedImport, ParsedTask

    Progress = Callable[[int, int], Awaitable[None]]


async def target(session: AsyncSession, scope: Scope, project_id: UUID | None) -> UUID:
    """The workspace that an import goes to. Raises InvalidReference, RoleTooLow."""
    if project_id is None:
        if scope.personal is None:
            raise InvalidReference("/project_id")
        return scope.personal
    workspace_id = await repository.workspace_of_project(session, project_id, scope.workspace_ids)
    if workspace_id is None:
        raise InvalidReference("/project_id")
    scope.require(workspace_id)
    return workspace_id


def task_id(job_id: UUID, ref: str) -> UUID:
    """The id of what a job makes of `ref`: the same on every attempt, and sorted with the job's other rows (UUIDv7)."""
    bits = int.from_bytes(hashlib.sha256(job_id.bytes + ref.encode()).digest()[:10], "big")
    high, low = (bits >> 62) & 0xFFF, bits & ((1 << 62) - 1)
    return UUID(int=((job_id.int >> 80) << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)


async def likely_duplicates(session: AsyncSession, workspace_id: UUID, parsed: ParsedImport) -> list[Problem]:
    """A warning where titles of the file are there already: the same file may have come in before."""
    titles = sorted({task.title for task in parsed.tasks})
    count = 0
    for start in range(0, len(titles), repository.BATCH):
        count += await repository.titles_there(session, workspace_id, titles[start : start + repository.BATCH])
    if not count:
        return []
    return [Problem("likely_duplicates", "Tasks with these titles are there already.", count=count)]


@dataclass(slots=True)
class Bringing:
    """One import on its way in: what its refs have become."""

    session: AsyncSession
    writer: Writer
    job_id: UUID
    workspace_id: UUID
    home: Project
    """Where tasks without a project go."""
    now: datetime = field(default_factory=utc_now)
    projects: dict[str | None, Project] = field(default_factory=dict)
    sections: dict[str, UUID] = field(default_factory=dict)
    section_projects: dict[str, Project] = field(default_factory=dict)
    labels: dict[str, UUID] = field(default_factory=dict)
    people: dict[str, UUID] = field(default_factory=dict)
    unknown_people: int = 0

    async def write(self, parsed: ParsedImport, progress: Progress) -> list[Problem]:
        """Writes all of it, telling `progress` after each batch; returns what else is to be warned of."""
        await self._places(parsed)
        names = {label.lower(): label for task in parsed.tasks for label in task.labels}
        if names:
            made = await labels_named(
                self.session, self.writer.actor, self.workspace_id, list(names.values()), create=True
            )
            self.labels = {name.lower(): label_id for name, label_id in made.items()}
        for row in await repository.members(self.session, self.workspace_id):
            self.people |= {word.lower(): row.id for word in (row.name, row.email) if word}
        for start in range(0, len(parsed.tasks), repository.BATCH):
            await self._batch(parsed.tasks[start : start + repository.BATCH], start)
            await progress(min(start + repository.BATCH, len(parsed.tasks)), len(parsed.tasks))
        if not self.unknown_people:
            return []
        message = "People who are not members of the workspace are kept in the source field."
        return [Problem("unknown_assignee", message, count=self.unknown_people)]

    async def _places(self, parsed: ParsedImport) -> None:
        self.projects[None] = self.home
        for one in parsed.projects:
            self.projects[one.ref] = await project_named(self.session, self.writer.actor, self.workspace_id, one.name)
        for section in parsed.sections:
            project = self.projects[section.project]
            row = await section_named(self.session, self.writer.actor, project, section.name, archived=section.archived)
            self.sections[section.ref], self.section_projects[section.ref] = row.id, project

    async def _batch(self, tasks: Sequence[ParsedTask], start: int) -> None:
        rows = [self._row(task, start + index) for index, task in enumerate(tasks)]
        await insert_all(self.session, self.writer, rows)
        comments = [self._comment(task, number) for task in tasks for number in range(len(task.comments))]
        await repository.insert_comments(self.session, comments, self.writer.actor.columns())
        # What is past already is never fired.
        reminders = [
            {
                "id": task_id(self.job_id, f"{task.ref} reminder {moment.isoformat()}"),
                "task_id": task_id(self.job_id, task.ref),
                "remind_at": moment,
                "fired_at": self.now if moment <= self.now else None,
            }
            for task in tasks
            for moment in task.reminders
        ]
        await repository.insert_reminders(self.session, reminders)

    def _row(self, task: ParsedTask, position: int) -> NewTask:
        section = task.section
        project = self.section_projects[section] if section is not None else self.projects[task.project]
        known = [self.people[name.lower()] for name in task.assignees if name.lower() in self.people]
        unknown = [name for name in task.assignees if name.lower() not in self.people]
        self.unknown_people += len(unknown)
        source = dict(task.source) | ({"assignees": unknown} if unknown else {})
        recurrence = task.recurrence
        done = task.status == "done"
        columns = {
            "title": task.title,
            "description": task.description or None,
            "status": task.status,
            "priority": task.priority,
            "section_id": self.sections[section] if section is not None else None,
            "parent_id": task_id(self.job_id, task.parent) if task.parent is not None else None,
            "start_at": task.start_at,
            "due_at": task.due_at,
            "estimate_minutes": task.estimate_minutes,
            "recurrence": {"rrule": recurrence.rrule, "time_zone": recurrence.time_zone} if recurrence else None,
            "position": float(position) if task.position is None else task.position,
            "completed_at": (task.completed_at or self.now) if done else None,
            "archived_at": task.archived_at,
            "source": source or None,
            "created_at": task.created_at or self.now,
        }
        labels = list(dict.fromkeys(self.labels[label.lower()] for label in task.labels))
        own_id = task_id(self.job_id, task.ref)
        return NewTask(self.workspace_id, project.id, columns, labels, list(dict.fromkeys(known)), own_id)

    def _comment(self, task: ParsedTask, number: int) -> dict[str, Any]:
        comment = task.comments[number]
        author_id = self.people.get(comment.author.lower()) if comment.author else self.writer.actor.user_id
        moment = comment.created_at or task.created_at or self.now
        return {
            "id": task_id(self.job_id, f"{task.ref} comment {number}"),
            "task_id": task_id(self.job_id, task.ref),
            "workspace_id": self.workspace_id,
            "author_id": author_id,
            "author_name": None if author_id else comment.author,
            "body": comment.body,
            "created_at": moment,
            "updated_at": moment,
        }
