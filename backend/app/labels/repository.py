"""All SQL of labels. What is read takes the workspaces that the caller may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, Text, Uuid, any_, bindparam, func, literal, literal_column, select, update
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, insert

from app.changes.recorder import record_tasks
from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import Label, Task, TaskLabel
from app.web.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.changes.recorder import Actor

_l = Label.__table__.c
_VISIBLE = _l.workspace_id == any_(bindparam("workspace_ids", type_=ARRAY(Uuid())))
_NAME = func.lower(_l.name)

LABEL = Statement(select(*_l).where(_VISIBLE, _l.id == bindparam("label_id", type_=Uuid())))
LABELS = Listing(
    "labels",
    select(*_l).where(_VISIBLE),
    [Key("name", _NAME, _NAME, Text()), *(Key(one, _l[one], _l[one], _l[one].type) for one in ("created_at", "id"))],
    "name",
)


async def lock_label(session: AsyncSession, workspace_ids: Sequence[UUID], label_id: UUID) -> Label | None:
    """The label, held also against tasks that are about to take it."""
    query = select(Label).where(Label.id == label_id, Label.workspace_id.in_(workspace_ids))
    return (await session.scalars(query.with_for_update())).one_or_none()


async def insert_labels(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> list[Label]:
    """Those of the rows whose name was free, also of labels that another transaction was just making."""
    statement = insert(Label).on_conflict_do_nothing(index_elements=[Label.workspace_id, func.lower(Label.name)])
    return list(await session.scalars(statement.returning(Label), rows))


async def ids_by_name(session: AsyncSession, workspace_id: UUID, names: Sequence[str]) -> dict[str, UUID]:
    """Those of the names that exist, as they were given."""
    wanted = select(func.unnest(literal(names, ARRAY(Text))).label("name")).subquery()
    query = select(wanted.c.name, Label.id).join(Label, func.lower(Label.name) == func.lower(wanted.c.name))
    return dict((await session.execute(query.where(Label.workspace_id == workspace_id))).all())


async def take_off_tasks(session: AsyncSession, actor: Actor, label_id: UUID) -> None:
    """The next version of every task with this label; the links go with the label's own row."""
    labelled = select(TaskLabel.task_id).where(TaskLabel.label_id == label_id)
    # Locked first: what a task's labels were is read when nobody can change them any more.
    await session.execute(select(Task.id).where(Task.id.in_(labelled)).order_by(Task.id).with_for_update())
    ids = func.array_agg(aggregate_order_by(TaskLabel.label_id, TaskLabel.label_id), type_=ARRAY(Uuid()))
    old = (
        select(TaskLabel.task_id, ids.label("ids")).where(TaskLabel.task_id.in_(labelled)).group_by(TaskLabel.task_id)
    ).cte("old")
    written = (
        update(Task)
        .where(Task.id == old.c.task_id)
        .values(version=Task.version + 1, updated_at=func.clock_timestamp())
        .returning(
            Task.workspace_id,
            Task.id,
            Task.version,
            _label_ids(old.c.ids).label("before"),
            _label_ids(func.array_remove(old.c.ids, label_id)).label("after"),
        )
    )
    await record_tasks(session, actor, written, "updated")


def _label_ids(ids: Any) -> Any:
    return func.jsonb_build_object(literal_column("'label_ids'"), func.to_jsonb(ids), type_=JSONB)
