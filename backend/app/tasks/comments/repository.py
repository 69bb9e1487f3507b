"""All SQL of comments. Those of a task in the trash are not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, Uuid, any_, bindparam, select

from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import Comment, Task
from app.web.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_c, _t = Comment.__table__.c, Task.__table__.c
_SHOWN = [column for column in _c if column.name not in {"search", "workspace_id"}]
_MINE = (
    _c.workspace_id == any_(bindparam("workspace_ids", type_=ARRAY(Uuid()))),
    _c.task_id == bindparam("of_task", type_=Uuid()),
    _t.deleted_at.is_(None),
)
_SEEN = select(*_SHOWN).join(Task, _t.id == _c.task_id).where(*_MINE)

COMMENT = Statement(_SEEN.where(_c.id == bindparam("comment_id", type_=Uuid())))
COMMENTS = Listing(
    "comments",
    _SEEN,
    [Key(one, _c[one], _c[one], _c[one].type) for one in ("created_at", "updated_at", "id")],
    "created_at",
)


async def workspace_of(session: AsyncSession, workspace_ids: Sequence[UUID], task_id: UUID) -> UUID | None:
    """The workspace of a live task, held so that the task stays while something is hung on it."""
    query = select(Task.workspace_id).where(
        Task.id == task_id, Task.workspace_id.in_(workspace_ids), Task.deleted_at.is_(None)
    )
    return await session.scalar(query.with_for_update(read=True, key_share=True))


async def lock_comment(
    session: AsyncSession, workspace_ids: Sequence[UUID], task_id: UUID, comment_id: UUID
) -> Comment | None:
    query = (
        select(Comment)
        .join(Task, Task.id == Comment.task_id)
        .where(Comment.id == comment_id, Comment.task_id == task_id, Task.deleted_at.is_(None))
        .where(Comment.workspace_id.in_(workspace_ids))
    )
    return (await session.scalars(query.with_for_update(of=Comment))).one_or_none()
