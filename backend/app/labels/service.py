"""The rules of labels. Nothing here commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

from app.changes.editing import edit, record_created, remove
from app.kit.errors import InvalidReference, NotFound
from app.kit.ids import new_id
from app.labels import repository
from app.labels.errors import LabelExists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope
    from app.changes.recorder import Actor
    from app.infra.work import Work
    from app.kit.pagination import CursorCodec
    from app.labels.schemas import LabelQuery
    from app.models import Label


async def list_labels(
    work: Work, cursors: CursorCodec, scope: Scope, caller_id: UUID, query: LabelQuery
) -> dict[str, Any]:
    """Raises InvalidInput for an unknown sort key or a foreign cursor."""
    filters = {"workspace_ids": scope.among(query.workspace)}
    return await repository.LABELS.page(work, cursors, query, filters, caller_id)


async def get_label(work: Work, scope: Scope, label_id: UUID) -> dict[str, Any]:
    rows = await work.fetch(repository.LABEL, {"workspace_ids": scope.workspace_ids, "label_id": label_id})
    if not rows:
        raise NotFound
    return dict(rows[0])


async def lock_label(session: AsyncSession, scope: Scope, label_id: UUID) -> Label:
    """The label to be changed. Raises NotFound, RoleTooLow."""
    label = await repository.lock_label(session, scope.workspace_ids, label_id)
    if label is None:
        raise NotFound
    scope.require(label.workspace_id)
    return label


async def create_label(
    session: AsyncSession, scope: Scope, actor: Actor, fields: Mapping[str, Any], workspace_id: UUID | None
) -> Label:
    """Raises InvalidReference for a workspace that the caller does not see, RoleTooLow, LabelExists."""
    made = await repository.insert_labels(
        session, [{"id": new_id(), "workspace_id": scope.target(workspace_id), **fields}]
    )
    if not made:
        raise LabelExists
    await record_created(session, actor, *made)
    return made[0]


async def update_label(session: AsyncSession, actor: Actor, label: Label, values: Mapping[str, Any]) -> Label:
    """The transaction is of no more use after LabelExists."""
    try:
        return await edit(session, actor, label, values)
    except IntegrityError as error:
        raise LabelExists from error


async def delete_label(session: AsyncSession, actor: Actor, label: Label) -> None:
    """Takes it off its tasks, which are other versions then: their ETags change."""
    await repository.take_off_tasks(session, actor, label.id)
    await remove(session, actor, label)


async def labels_named(
    session: AsyncSession, actor: Actor, workspace_id: UUID, names: Sequence[str], *, create: bool
) -> dict[str, UUID]:
    """The ids of labels by their names as they are given here; case does not count.

    A name that does not exist becomes a label. Without `create` it raises InvalidReference, pointing at `/labels/0`.
    """
    found = await repository.ids_by_name(session, workspace_id, names)
    missing = [name for name in names if name not in found]
    if missing and not create:
        raise InvalidReference(*(f"/labels/{index}" for index, name in enumerate(names) if name not in found))
    if missing:
        # Sorted, so that two imports never wait for each other's names; of two that differ in case one is made.
        in_order = sorted(set(missing), key=str.lower)
        rows = [{"id": new_id(), "workspace_id": workspace_id, "name": name} for name in in_order]
        await record_created(session, actor, *await repository.insert_labels(session, rows))
        found = await repository.ids_by_name(session, workspace_id, names)
    return found
