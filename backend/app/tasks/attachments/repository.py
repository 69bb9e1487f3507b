"""All SQL of attachments. Those of a task in the trash are not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, Text, Uuid, and_, any_, bindparam, case, func, literal_column, select

from app.infra.statements import Statement
from app.kit.keyset import Key
from app.models import Attachment, Job, StoredFile, Task
from app.web.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

_a, _f, _t, _j = Attachment.__table__.c, StoredFile.__table__.c, Task.__table__.c, Job.__table__.c
_WORKSPACES = bindparam("workspace_ids", type_=ARRAY(Uuid()))
_MINE = (
    _a.workspace_id == any_(_WORKSPACES),
    _a.task_id == bindparam("of_task", type_=Uuid()),
    _t.deleted_at.is_(None),
)
_ONE = _a.id == bindparam("attachment_id", type_=Uuid())

_thumbnail = StoredFile.__table__.alias("thumbnail").c
_SIZES = func.array(
    select(_thumbnail.thumbnail)
    .where(_thumbnail.attachment_id == _a.id, _thumbnail.thumbnail.is_not(None))
    .order_by(_thumbnail.size)
    .scalar_subquery(),
    type_=ARRAY(Text),
)
# Read from what is there, never kept: a job that a dying worker takes with it leaves nothing that says `pending`.
_STATE = case(
    (_a.job_id.is_(None), "none"),
    (and_(_j.id.is_not(None), _j.finished_at.is_(None)), "pending"),
    (func.cardinality(_SIZES) > 0, "ready"),
    else_="failed",
)


def _rows(*columns: Any) -> Select[Any]:
    original = and_(_f.attachment_id == _a.id, _f.thumbnail.is_(None))
    joined = Attachment.__table__.join(StoredFile.__table__, original).join(Task.__table__, _t.id == _a.task_id)
    return select(*columns).select_from(joined.outerjoin(Job.__table__, _j.id == _a.job_id)).where(*_MINE)


_SHOWN = _rows(
    _a.id,
    _a.task_id,
    _f.name,
    _f.media_type,
    _f.size,
    func.encode(_f.sha256, "hex").label("sha256"),
    _a.created_by,
    _a.created_at,
    _a.job_id,
    _STATE.label("state"),
    _SIZES.label("sizes"),
    case((_j.state == "discarded", literal_column("jobs.errors -> -1 ->> 'code'"))).label("error_code"),
)

ATTACHMENT = Statement(_SHOWN.where(_ONE))
ATTACHMENTS = Listing(
    "attachments", _SHOWN, [Key(name, _a[name], _a[name], _a[name].type) for name in ("created_at", "id")], "created_at"
)

# A thumbnail, or what was sent where no size is named.
CONTENT = Statement(
    select(_f.storage_key, _f.name, _f.media_type, _f.size, _f.sha256)
    .join(Attachment.__table__, _f.attachment_id == _a.id)
    .join(Task.__table__, _t.id == _a.task_id)
    .where(*_MINE, _ONE, _f.thumbnail.is_not_distinct_from(bindparam("thumbnail", type_=Text())))
)
TASK = Statement(
    select(_t.workspace_id).where(
        _t.id == bindparam("of_task", type_=Uuid()), _t.workspace_id == any_(_WORKSPACES), _t.deleted_at.is_(None)
    )
)


async def lock_task(session: AsyncSession, workspace_ids: Sequence[UUID], task_id: UUID) -> UUID | None:
    """The workspace of a live task, which gets no other attachment until the transaction ends."""
    query = select(Task.workspace_id).where(
        Task.id == task_id, Task.workspace_id.in_(workspace_ids), Task.deleted_at.is_(None)
    )
    return await session.scalar(query.with_for_update(key_share=True))


async def count(session: AsyncSession, task_id: UUID) -> int:
    return int(await session.scalar(select(func.count()).where(Attachment.task_id == task_id)) or 0)


async def lock(
    session: AsyncSession, workspace_ids: Sequence[UUID], task_id: UUID, attachment_id: UUID
) -> tuple[Attachment, StoredFile] | None:
    """An attachment of a live task with its file, held until the transaction ends."""
    query = (
        select(Attachment, StoredFile)
        .join(StoredFile, and_(StoredFile.attachment_id == Attachment.id, StoredFile.thumbnail.is_(None)))
        .join(Task, Task.id == Attachment.task_id)
        .where(Attachment.id == attachment_id, Attachment.task_id == task_id, Task.deleted_at.is_(None))
        .where(Attachment.workspace_id.in_(workspace_ids))
        .with_for_update(of=Attachment)
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else (row[0], row[1])


async def original(session: AsyncSession, attachment_id: UUID) -> StoredFile | None:
    """What was sent; None once the attachment is gone."""
    query = select(StoredFile).where(StoredFile.attachment_id == attachment_id, StoredFile.thumbnail.is_(None))
    return await session.scalar(query)
