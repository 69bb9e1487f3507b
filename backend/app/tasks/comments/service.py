"""The rules of comments: everyone who may write in the workspace may add one, its author may change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.changes.editing import edit, record_created, remove
from app.kit.errors import NotFound, PermissionDenied
from app.kit.ids import new_id
from app.models import Comment
from app.tasks import service as tasks
from app.tasks.comments import repository

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.access.scope import Scope
    from app.changes.recorder import Actor
    from app.infra.work import Work
    from app.kit.pagination import CursorCodec
    from app.tasks.comments.schemas import CommentQuery


class NotTheAuthor(PermissionDenied):
    code, title = "not_the_author", "Only its author changes a comment"


async def page(
    work: Work, cursors: CursorCodec, scope: Scope, me: UUID, task_id: UUID, query: CommentQuery
) -> dict[str, Any]:
    """The comments of a live task; raises NotFound for any other."""
    await tasks.get(work, scope, task_id)
    filters = {"workspace_ids": scope.workspace_ids, "of_task": task_id}
    return await repository.COMMENTS.page(work, cursors, query, filters, me)


async def get(work: Work, scope: Scope, task_id: UUID, comment_id: UUID) -> dict[str, Any]:
    params = {"workspace_ids": scope.workspace_ids, "of_task": task_id, "comment_id": comment_id}
    rows = await work.fetch(repository.COMMENT, params)
    if not rows:
        raise NotFound
    return dict(rows[0])


async def create(session: AsyncSession, scope: Scope, actor: Actor, task_id: UUID, body: str) -> Comment:
    workspace_id = await repository.workspace_of(session, scope.workspace_ids, task_id)
    if workspace_id is None:
        raise NotFound
    scope.require(workspace_id)
    comment = Comment(id=new_id(), task_id=task_id, workspace_id=workspace_id, author_id=actor.user_id, body=body)
    session.add(comment)
    await session.flush()  # the record comes after the row
    await session.refresh(comment, ["created_at", "updated_at", "version"])
    await record_created(session, actor, comment)
    return comment


async def lock(session: AsyncSession, scope: Scope, user_id: UUID, task_id: UUID, comment_id: UUID) -> Comment:
    """The caller's own comment, held until the transaction ends. Raises NotFound, NotTheAuthor."""
    comment = await repository.lock_comment(session, scope.workspace_ids, task_id, comment_id)
    if comment is None:
        raise NotFound
    scope.require(comment.workspace_id)
    if comment.author_id != user_id:
        raise NotTheAuthor
    return comment


async def update(session: AsyncSession, actor: Actor, comment: Comment, body: str) -> Comment:
    return await edit(session, actor, comment, {"body": body})


async def delete(session: AsyncSession, actor: Actor, comment: Comment) -> None:
    await remove(session, actor, comment)
