"""Tasks written, each with its change: one statement for one task, a few for many."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.infra.statements import Statement
from app.models import Change, Label, Project, Section, Task, TaskAssignee, TaskLabel, WorkspaceMember
from app.tasks.repository import COLUMNS, IDS, TASKS, WRITABLE, in_order, shown, within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import CTE, Table
    from sqlalchemy.ext.asyncio import AsyncSession

_ACTOR = ("user_id", "session_id", "job_id", "operation_id", "trace_id")
_changes = cast("Table", Change.__table__)


def _actor() -> list[ColumnElement[Any]]:
    return [bindparam(name, type_=_changes.c[name].type).label(name) for name in _ACTOR]


def _change_of(
    written: Any,
    action: str,
    before: ColumnElement[Any],
    after: ColumnElement[Any],
    where: ColumnElement[bool] | None = None,
) -> Any:
    """INSERT INTO changes, fed by the row just written: its lock orders the ids of a task's changes."""
    source = select(
        written.c.workspace_id,
        literal_column("'task'"),
        written.c.id,
        written.c.id,
        written.c.version,
        literal_column(f"'{action}'"),
        before,
        after,
        *_actor(),
    )
    if where is not None:
        source = source.where(where)
    if "number" in written.c:
        source = source.order_by(written.c.number)
    names = ["workspace_id", "resource", "resource_id", "task_id", "version", "action", "before", "after", *_ACTOR]
    return insert(_changes).from_select(names, source)


def _json_of(table: Any, names: Sequence[str]) -> ColumnElement[Any]:
    pairs: list[Any] = []
    for name in names:
        pairs += [literal_column(f"'{name}'"), table.c[name]]
    return func.jsonb_build_object(*pairs, type_=JSONB)


def _created(written: Any) -> ColumnElement[Any]:
    """What the change of a new task tells: all that it has, and nothing of what it has not."""
    told = [name for name in COLUMNS if name not in {"id", "workspace_id", "version"}]
    return cast("ColumnElement[Any]", func.jsonb_strip_nulls(_json_of(written, told), type_=JSONB))


# --- a new task ------------------------------------------------------------------------------------------------------
# The parameters are called `new_...`: SQLAlchemy takes one called like a column of an UPDATE for its new value.

_label_ids, _label_names = bindparam("new_label_ids", type_=IDS), bindparam("new_labels", type_=ARRAY(Text))
_people = bindparam("new_assignee_ids", type_=IDS)


def _wanted_labels(workspace_id: Any) -> ColumnElement[bool]:
    named = func.lower(Label.name) == any_(_label_names)
    return and_(Label.workspace_id == workspace_id, or_(Label.id == any_(_label_ids), named))


def _wanted_people(workspace_id: Any) -> ColumnElement[bool]:
    return and_(WorkspaceMember.workspace_id == workspace_id, WorkspaceMember.user_id == any_(_people))


def _counted(model: Any, where: ColumnElement[bool]) -> Any:
    return select(func.count()).select_from(model).where(where).scalar_subquery()


def _project_with_number() -> CTE:
    """Draws a number from the project that was asked for, or from the inbox; no row where a reference does not hold."""
    wanted, personal = bindparam("new_project_id", type_=Uuid()), bindparam("personal", type_=Uuid())
    section, parent = bindparam("new_section_id", type_=Uuid()), bindparam("new_parent_id", type_=Uuid())
    inbox = and_(wanted.is_(None), Project.is_inbox, Project.workspace_id == personal)
    parent_lives = exists().where(
        TASKS.c.id == parent, TASKS.c.workspace_id == Project.workspace_id, TASKS.c.deleted_at.is_(None)
    )
    labels = _counted(Label, _wanted_labels(Project.workspace_id))
    people = _counted(WorkspaceMember, _wanted_people(Project.workspace_id))
    return (
        update(Project)
        .where(
            within(Project.workspace_id),
            Project.deleted_at.is_(None),
            Project.archived_at.is_(None),
            or_(Project.id == wanted, inbox),
            or_(section.is_(None), exists().where(Section.id == section, Section.project_id == Project.id)),
            or_(parent.is_(None), parent_lives),
            func.cardinality(_label_ids) + func.cardinality(_label_names) == labels,
            func.cardinality(_people) == people,
        )
        .values(last_task_number=Project.last_task_number + 1)
        .returning(Project.id, Project.workspace_id, Project.key, Project.last_task_number)
        .cte("project")
    )


def _row_in(project: CTE) -> CTE:
    fields = [name for name in WRITABLE if name != "project_id"]
    number = project.c.last_task_number
    done_at = case(
        (bindparam("new_status", type_=Text) == literal_column("'done'"), literal_column("clock_timestamp()")),
        else_=null(),
    )
    row = select(
        bindparam("new_id", type_=Uuid()),
        project.c.workspace_id,
        project.c.id,
        number,
        project.c.key.op("||")(literal_column("'-'")).op("||")(func.cast(number, Text)),
        bindparam("new_created_by", type_=Uuid()),
        done_at,
        *(bindparam(f"new_{name}", type_=TASKS.c[name].type) for name in fields),
    )
    columns = ["id", "workspace_id", "project_id", "number", "key", "created_by", "completed_at", *fields]
    return insert(TASKS).from_select(columns, row).returning(*TASKS.c[COLUMNS]).cte("written")


def _linked(link: Any, target: Any, name: str, written: CTE, wanted: ColumnElement[bool]) -> Any:
    """The rows of `link` (task to `target`, by its column `name`) for the task just written; the ids in order."""
    source = select(written.c.id, target, written.c.workspace_id).where(wanted)
    rows = insert(link).from_select(["task_id", name, "workspace_id"], source).returning(getattr(link, name))
    ids = rows.cte(f"linked_{name}").c[name]
    return select(ids).order_by(ids)


def _insert_statement() -> Statement:
    """A task with its key, labels, assignees and change; no row where a reference does not hold."""
    written = _row_in(_project_with_number())
    workspace_id = written.c.workspace_id
    labels = _linked(TaskLabel, Label.id, "label_id", written, _wanted_labels(workspace_id))
    people = _linked(TaskAssignee, WorkspaceMember.user_id, "user_id", written, _wanted_people(workspace_id))
    change = _change_of(written, "created", null(), _created(written)).cte("change")
    return Statement(select(*in_order(written, labels, people)).add_cte(change))


INSERT = _insert_statement()


# --- a changed task --------------------------------------------------------------------------------------------------

VERSIONS = bindparam("versions", type_=ARRAY(Integer))
"""The versions of which the row must have one, from If-Match; null: any."""


@lru_cache(maxsize=512)
def update_statement(names: tuple[str, ...], action: str) -> Statement:
    """Sets these columns of one task and records what they were; no row where it is not there or not of `versions`.

    A task that has all of these values already keeps its version, and nothing is recorded, as in `changes.editing`.
    `more_before` and `more_after` add what a caller wrote beside the row (label ids, assignee ids) to the record.
    """
    old = (
        select(*TASKS.c[COLUMNS])
        .where(TASKS.c.id == bindparam("task_id"), within(TASKS.c.workspace_id), TASKS.c.deleted_at.is_(None))
        .with_for_update()
        .cte("old")
    )
    new: dict[str, Any] = {name: bindparam(f"new_{name}", type_=TASKS.c[name].type) for name in names}
    touched = list(names)
    if "status" in new:
        # Done has a moment, everything else has none; a task that is done already keeps its own.
        moment = func.coalesce(old.c.completed_at, func.clock_timestamp())
        new["completed_at"] = case((new["status"] == literal_column("'done'"), moment), else_=null())
        touched.append("completed_at")
    more = [type_coerce(bindparam(name, type_=JSONB), JSONB) for name in ("more_before", "more_after")]
    changed = or_(more[0] != literal_column("'{}'::jsonb"), *(old.c[name].is_distinct_from(new[name]) for name in new))
    written = (
        update(TASKS)
        .where(TASKS.c.id == old.c.id, or_(VERSIONS.is_(None), old.c.version == any_(VERSIONS)))
        .values(
            **new,
            version=old.c.version + func.cast(changed, Integer),
            updated_at=case((changed, func.clock_timestamp()), else_=old.c.updated_at),
        )
        .returning(*TASKS.c[COLUMNS])
        .cte("written")
    )
    before = select(_json_of(old, touched).op("||")(more[0])).scalar_subquery()
    after = _json_of(written, touched).op("||")(more[1])
    is_new = written.c.version > select(old.c.version).scalar_subquery()
    change = _change_of(written, action, before, after, is_new).cte("change")
    return Statement(select(*shown(written)).add_cte(change))


# --- many at once ----------------------------------------------------------------------------------------------------


async def insert_many(
    session: AsyncSession,
    rows: Sequence[Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
    assignees: Sequence[Mapping[str, Any]],
    actor: Mapping[str, Any],
) -> None:
    """Tasks with their labels, assignees and changes: four multi-row statements. Parents before their subtasks."""
    await session.execute(insert(Task), list(rows))
    if labels:
        await session.execute(insert(TaskLabel), list(labels))
    if assignees:
        await session.execute(insert(TaskAssignee), list(assignees))
    written = TASKS.alias("written")
    change = _change_of(
        written, "created", null(), _created(written), where=written.c.id.in_([row["id"] for row in rows])
    )
    await session.execute(change, dict(actor))
