"""The rules of tasks. Nothing here commits; `Work` does, at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.access.scope import Scope
from app.kit.errors import InvalidReference, NotFound
from app.kit.ids import new_id
from app.models.task import CLOSED_STATUSES
from app.tasks import repository, writing
from app.tasks.errors import ProjectGone, TaskCycle, TooDeep
from app.web.preconditions import Stale

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession

    from app.changes.recorder import Actor
    from app.infra.work import Work

    Fields = Mapping[str, Any]

MAX_DEPTH = 50
"""Levels of subtasks; deeper trees are mistakes of a client, and each level costs a step of a recursive query."""
_REFERENCES = {"project_id", "section_id", "parent_id", "label_ids", "labels", "assignee_ids"}


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, and where it may."""

    scope: Scope
    actor: Actor

    @property
    def workspace_ids(self) -> list[UUID]:
        return self.scope.writable()


async def get(work: Work, scope: Scope, task_id: UUID) -> Mapping[str, Any]:
    """Raises NotFound, also for a task in the trash."""
    rows = await work.fetch(repository.GET, {"task_id": task_id, "workspace_ids": scope.workspace_ids})
    if not rows:
        raise NotFound
    return rows[0]  # type: ignore[no-any-return]


async def create(work: Work, writer: Writer, fields: Fields) -> Mapping[str, Any]:
    """A task of all its writable `fields`, in one statement; only its parent is looked up before.

    Without a project it goes to its parent's, or to the inbox.

    Raises InvalidReference for what does not exist or may not be seen.
    """
    if fields["parent_id"] is not None:
        parent, _ = await _parent(await work.transaction(), fields["parent_id"], writer.workspace_ids)
        fields = {**fields, "project_id": fields["project_id"] or parent["project_id"]}
    values = {
        **fields,
        "id": new_id(),
        "created_by": writer.actor.user_id,
        "label_ids": list(dict.fromkeys(fields["label_ids"])),
        "labels": list(dict.fromkeys(name.lower() for name in fields["labels"])),
        "assignee_ids": list(dict.fromkeys(fields["assignee_ids"])),
    }
    params = {
        **{f"new_{name}": value for name, value in values.items()},
        **writer.actor.columns(),
        "workspace_ids": writer.workspace_ids,
        "personal": writer.scope.personal,
    }
    rows = await work.fetch(writing.INSERT, params)
    if not rows:
        raise await _refusal(await work.transaction(), writer, fields)
    return rows[0]  # type: ignore[no-any-return]


async def _refusal(session: AsyncSession, writer: Writer, fields: Fields) -> ProjectGone:
    """Says which reference of a new task does not hold."""
    project = await repository.project_for(session, fields["project_id"], writer.scope.personal, writer.workspace_ids)
    if project is None:
        raise InvalidReference("/project_id")
    await _check_references(session, fields, project.workspace_id, project.id)
    parent_id = fields["parent_id"]
    if parent_id is not None and not await repository.ancestors(session, parent_id, project.workspace_id):
        raise InvalidReference("/parent_id")
    return ProjectGone("What the task refers to changed at this moment; try again")


async def _check_references(session: AsyncSession, fields: Fields, workspace_id: UUID, project_id: UUID) -> None:
    section_id = fields.get("section_id")
    if section_id is not None and not await repository.section_exists(session, section_id, project_id):
        raise InvalidReference("/section_id")
    if fields.get("assignee_ids"):
        found = await repository.members(session, workspace_id, fields["assignee_ids"])
        _all_there("/assignee_ids", fields["assignee_ids"], found)
    await _label_ids(session, fields, workspace_id)


async def _label_ids(session: AsyncSession, fields: Fields, workspace_id: UUID) -> list[UUID]:
    if names := [name.lower() for name in fields.get("labels", ())]:
        by_name = await repository.labels_by_name(session, workspace_id, names)
        _all_there("/labels", names, by_name)
        return list(by_name.values())
    if wanted := fields.get("label_ids", ()):
        found = await repository.existing_labels(session, workspace_id, wanted)
        _all_there("/label_ids", wanted, found)
        return list(found)
    return []


def _all_there(pointer: str, wanted: Sequence[Any], found: Container[Any]) -> None:
    missing = [f"{pointer}/{index}" for index, one in enumerate(wanted) if one not in found]
    if missing:
        raise InvalidReference(*missing[:20])


async def _parent(
    session: AsyncSession, parent_id: UUID, workspace_ids: Sequence[UUID], below: int = 0
) -> tuple[RowMapping, list[UUID]]:
    """The task that shall have another subtask, with `below` levels under it, and the ids from it upwards."""
    parent = await repository.lock(session, parent_id, workspace_ids)
    line = await repository.ancestors(session, parent_id, parent["workspace_id"]) if parent else []
    if parent is None or not line:
        raise InvalidReference("/parent_id")
    if len(line) + below >= MAX_DEPTH:
        raise TooDeep("/parent_id", MAX_DEPTH)
    return parent, line


async def update(
    work: Work, writer: Writer, task_id: UUID, fields: Fields, versions: list[int] | None
) -> Mapping[str, Any]:
    """Touches these fields and nothing else. Raises NotFound, Stale, RoleTooLow, InvalidReference."""
    if not fields:
        return await _unchanged(work, writer, task_id, versions)
    values = {name: fields[name] for name in repository.WRITABLE if name in fields}
    more: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    if not _REFERENCES.isdisjoint(fields):
        session = await work.transaction()
        current = await repository.lock(session, task_id, writer.workspace_ids)
        if current is None or (versions is not None and current["version"] not in versions):
            raise await _explanation(work, writer, task_id)
        values |= await _place(session, fields, dict(current))
        more = await _relink(session, fields, dict(current))
    return await _write(work, writer, task_id, values, versions, "updated", more)


async def _unchanged(work: Work, writer: Writer, task_id: UUID, versions: list[int] | None) -> Mapping[str, Any]:
    current = await get(work, writer.scope, task_id)
    writer.scope.require(current["workspace_id"])
    if versions is not None and current["version"] not in versions:
        raise Stale(current["version"])
    return current


async def _place(session: AsyncSession, fields: Fields, current: Fields) -> dict[str, Any]:
    """Checks where the task shall stand: project, section, parent. A move leaves the old project's section behind."""
    project_id = fields.get("project_id", current["project_id"])
    moved = {}
    if project_id != current["project_id"]:
        if await repository.project_for(session, project_id, None, [current["workspace_id"]]) is None:
            raise InvalidReference("/project_id")
        moved["section_id"] = fields.get("section_id")
    await _check_references(session, fields, current["workspace_id"], project_id)
    if fields.get("parent_id") is not None:
        await repository.lock_tree(session, current["workspace_id"])
        below = await repository.height(session, current["id"])
        _, line = await _parent(session, fields["parent_id"], [current["workspace_id"]], below + 1)
        if current["id"] in line:
            raise TaskCycle("/parent_id")
    return moved


async def _relink(session: AsyncSession, fields: Fields, current: Fields) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sets labels and assignees; returns what they were and are, for the record."""
    task_id, workspace_id = current["id"], current["workspace_id"]
    before = await repository.links(session, task_id)
    after = dict(before)
    if "labels" in fields or "label_ids" in fields:
        after["label_ids"] = sorted(await _label_ids(session, fields, workspace_id))
        await repository.set_labels(session, task_id, workspace_id, after["label_ids"])
    if "assignee_ids" in fields:
        after["assignee_ids"] = sorted(set(fields["assignee_ids"]))
        await repository.set_assignees(session, task_id, workspace_id, after["assignee_ids"])
    changed = [name for name in after if after[name] != before[name]]
    return {name: before[name] for name in changed}, {name: after[name] for name in changed}


async def _write(
    work: Work,
    writer: Writer,
    task_id: UUID,
    values: Mapping[str, Any],
    versions: list[int] | None,
    action: str,
    more: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
) -> Mapping[str, Any]:
    statement = writing.update_statement(tuple(values), action)
    params = {
        **{f"new_{name}": value for name, value in values.items()},
        **writer.actor.columns(),
        "task_id": task_id,
        "workspace_ids": writer.workspace_ids,
        "versions": versions,
        "more_before": more[0],
        "more_after": more[1],
    }
    rows = await work.fetch(statement, params)
    if not rows:
        raise await _explanation(work, writer, task_id)
    return rows[0]  # type: ignore[no-any-return]


async def _explanation(work: Work, writer: Writer, task_id: UUID) -> Stale:
    """Why a task was not written: it is not there, not the caller's to change, or of another version."""
    current = await get(work, writer.scope, task_id)
    writer.scope.require(current["workspace_id"])
    return Stale(current["version"])


async def set_status(
    work: Work, writer: Writer, task_id: UUID, status: str, versions: list[int] | None
) -> Mapping[str, Any]:
    """`done` or `todo`; a task that is there already stays as it is, so that a repeat changes nothing."""
    current = await _unchanged(work, writer, task_id, versions)
    there = current["status"] == status if status == "done" else current["status"] not in CLOSED_STATUSES
    if there:
        return current
    action = "completed" if status == "done" else "reopened"
    return await _write(work, writer, task_id, {"status": status}, versions, action)


async def set_archived(
    work: Work, writer: Writer, task_id: UUID, moment: Any, versions: list[int] | None
) -> Mapping[str, Any]:
    """`moment`: when it was archived; None takes it out of the archive. A repeat changes nothing."""
    current = await _unchanged(work, writer, task_id, versions)
    if (current["archived_at"] is None) == (moment is None):
        return current
    return await _write(
        work, writer, task_id, {"archived_at": moment}, versions, "archived" if moment else "unarchived"
    )


async def delete(session: AsyncSession, writer: Writer, task_id: UUID, versions: list[int] | None) -> None:
    """Into the trash, with its subtasks."""
    current = await repository.lock(session, task_id, writer.scope.workspace_ids)
    if current is None:
        raise NotFound
    writer.scope.require(current["workspace_id"])
    if versions is not None and current["version"] not in versions:
        raise Stale(current["version"])
    await repository.trash(session, [task_id], writer.actor)


async def trashed(work: Work, scope: Scope, task_id: UUID) -> Mapping[str, Any]:
    rows = await work.fetch(repository.GET_TRASHED, {"task_id": task_id, "workspace_ids": scope.workspace_ids})
    if not rows:
        raise NotFound
    return rows[0]  # type: ignore[no-any-return]


async def restore(work: Work, writer: Writer, task_id: UUID) -> Mapping[str, Any]:
    """Out of the trash, with the subtasks that went there with it; a task that is not in the trash stays as it is.

    Where its parent is in the trash still, it becomes a task of its own. Raises ProjectGone when its project is.
    """
    session = await work.transaction()
    live = await repository.lock(session, task_id, writer.scope.workspace_ids)
    if live is not None:
        return await get(work, writer.scope, task_id)
    task = await trashed(work, writer.scope, task_id)
    writer.scope.require(task["workspace_id"])
    if await repository.project_for(session, task["project_id"], None, [task["workspace_id"]]) is None:
        raise ProjectGone
    await repository.restore(session, task_id, writer.actor)
    if task["parent_id"] and not await repository.ancestors(session, task["parent_id"], task["workspace_id"]):
        return await _write(work, writer, task_id, {"parent_id": None}, None, "updated")
    return await get(work, writer.scope, task_id)


async def purge(work: Work, writer: Writer, task_id: UUID) -> None:
    """Removes a trashed task for good."""
    task = await trashed(work, writer.scope, task_id)
    writer.scope.require(task["workspace_id"])
    if not await repository.purge(await work.transaction(), task_id):
        raise NotFound
