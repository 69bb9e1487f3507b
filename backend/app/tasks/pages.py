"""A page of tasks: from the query's words to the statement's values, and from its rows to the answer."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from app.kit.errors import invalid
from app.kit.schema import rfc3339
from app.models import Label, Project, User
from app.models.task import PRIORITIES, STATUSES
from app.tasks.listing import Shape, count_statement, page_statement, parse_sort
from app.tasks.schemas import EXPANDABLE, TrashQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope
    from app.infra.work import Work
    from app.kit.pagination import CursorCodec
    from app.tasks.schemas import TaskQuery


def _label_values(names: Sequence[str]) -> dict[str, Any]:
    ids = [UUID(name) for name in names if _is_uuid(name)]
    return {"label_ids": ids, "label_names": [name.lower() for name in names]}


def _is_uuid(word: str) -> bool:
    try:
        UUID(word)
    except ValueError:
        return False
    return True


def _people(words: Sequence[str], me: UUID) -> list[UUID]:
    if not all(word == "me" or _is_uuid(word) for word in words):
        raise invalid("?assignee", "invalid_user_id", "Give ids of users, or `me`")
    return [me if word == "me" else UUID(word) for word in words]


_LISTS: dict[str, str] = {"project": "projects", "section": "sections", "parent": "parents", "created_by": "creators"}
_MOMENTS = ("due_before", "due_after", "updated_since")


def _filters(query: TaskQuery, scope: Scope, me: UUID) -> tuple[set[str], dict[str, Any]]:
    """The names of the active filters, and the values that they bind."""
    active, values = _workspaces(query, scope)
    for name, plural in (("status", "statuses"), ("priority", "priorities")):
        wanted = list(getattr(query, name))
        if len(wanted) == 1:
            active.add(f"{name}_one")
            values[name] = wanted[0]
        elif wanted:
            active.add(f"{name}_any")
            values[plural] = wanted
    for name, plural in _LISTS.items():
        if wanted := getattr(query, name):
            active.add(name)
            values[plural] = wanted
    for name in _MOMENTS:
        if (moment := getattr(query, name)) is not None:
            active.add(name)
            values[name] = moment
    others, more = _other_filters(query, me)
    return active | others, values | more


def _other_filters(query: TaskQuery, me: UUID) -> tuple[set[str], dict[str, Any]]:
    active: set[str] = set()
    values: dict[str, Any] = {}
    if query.label:
        active.add("label")
        values |= _label_values(query.label)
    if query.assignee:
        active.add("assignee")
        values["assignees"] = _people(query.assignee, me)
    if query.overdue is not None:
        active.add("overdue" if query.overdue else "not_overdue")
    if query.q is not None and query.q.strip():
        active.add("q")
        values["q"] = query.q
    return active, values


def _workspaces(query: TaskQuery, scope: Scope) -> tuple[set[str], dict[str, Any]]:
    mine = [workspace for workspace in scope.roles if not query.workspace or workspace in query.workspace]
    if len(mine) == 1:
        # An equality keeps the index's order; `= ANY` of one element would sort.
        return {"workspace_one"}, {"workspace_id": mine[0]}
    return {"workspace_any"}, {"workspace_ids": mine}


def _binding(query: TaskQuery, scope: Scope) -> str:
    # A cursor continues this very query of this very caller; how large a page is, or what it shows, may change.
    words = query.model_dump_json(exclude={"cursor", "limit", "count", "expand"}, exclude_defaults=True)
    return f"{type(query).__name__}{scope.personal}{words}"


async def page(work: Work, scope: Scope, me: UUID, query: TaskQuery, cursors: CursorCodec) -> dict[str, Any]:
    """Of the trash for a TrashQuery.

    Raises InvalidInput for an unknown sort key, a foreign cursor or an unknown word in `expand`.
    """
    filters, values = _filters(query, scope, me)
    sort = parse_sort(query.sort, searching="q" in filters)
    shape = Shape(sort, frozenset(filters), query.archived, isinstance(query, TrashQuery), query.cursor is not None)
    if query.cursor is not None:
        keys = cursors.decode(_binding(query, scope), query.cursor, len(sort))
        values |= {f"after_{name}": key for (name, _), key in zip(sort, keys, strict=True)}
    rows = await work.fetch(page_statement(shape), {**values, "limit": query.limit + 1})
    answer: dict[str, Any] = {"items": [dict(row) for row in rows[: query.limit]], "next_cursor": None}
    if len(rows) > query.limit:
        last = rows[query.limit - 1]
        keys = [_sort_value(last, name, descending=descending) for name, descending in sort]
        answer["next_cursor"] = cursors.encode(_binding(query, scope), keys)
    if query.count:
        answer["total_count"] = (await work.fetch(count_statement(shape), values))[0]["total"]
    if query.expand is not None:
        await expand(work, answer["items"], query.expand)
    return answer


def _sort_value(row: Mapping[str, Any], name: str, *, descending: bool) -> str:
    ranks = {"priority": PRIORITIES, "status": STATUSES}.get(name)
    if ranks is not None:
        return str(ranks.index(row[name]) + 1)  # array_position counts from one
    value = row["sort_rank" if name == "rank" else name]
    if value is None:
        return "-infinity" if descending else "infinity"
    if isinstance(value, datetime):
        return rfc3339(value)
    return repr(value) if isinstance(value, float) else str(value)


async def expand(work: Work, tasks: Sequence[dict[str, Any]], words: str) -> None:
    """Adds the objects that the tasks refer to, beside their ids. Raises InvalidInput for an unknown word."""
    wanted = {word.strip() for word in words.split(",")}
    if not wanted <= set(EXPANDABLE):
        raise invalid("?expand", "unknown_expansion", f"Expand {', '.join(EXPANDABLE)}")
    session = await work.transaction()
    if "labels" in wanted:
        labels = await _objects(session, Label, ("id", "name", "color"), tasks, "label_ids")
        for task in tasks:
            task["labels"] = [labels[one] for one in task["label_ids"] if one in labels]
    if "assignees" in wanted:
        people = await _objects(session, User, ("id", "name", "email"), tasks, "assignee_ids")
        for task in tasks:
            task["assignees"] = [people[one] for one in task["assignee_ids"] if one in people]
    if "project" in wanted:
        found = select(Project.id, Project.key, Project.name).where(
            Project.id.in_({task["project_id"] for task in tasks})
        )
        projects = {row["id"]: dict(row) for row in (await session.execute(found)).mappings()}
        for task in tasks:
            task["project"] = projects[task["project_id"]]


async def _objects(
    session: AsyncSession, model: Any, columns: Sequence[str], tasks: Sequence[Mapping[str, Any]], field: str
) -> dict[UUID, dict[str, Any]]:
    ids = {one for task in tasks for one in task[field]}
    query = select(*(getattr(model, name) for name in columns)).where(model.id.in_(ids))
    return {row["id"]: dict(row) for row in (await session.execute(query)).mappings()}
