"""Workspaces and their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from app.access.scope import Scope
from app.kit.ids import new_id
from app.models import User, Workspace, WorkspaceMember

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


async def create_personal_workspace(session: AsyncSession, user: User) -> Workspace:
    """The workspace that is the user's own; `user` is flushed already."""
    workspace = Workspace(id=new_id(), name="Personal", personal_to=user.id)
    session.add(workspace)
    await session.flush()  # the membership's foreign key needs the row
    session.add(WorkspaceMember(workspace_id=workspace.id, user_id=user.id, role="owner"))
    return workspace


async def scope_of(session: AsyncSession, user_id: UUID) -> Scope:
    """What the user may see and do now; jobs ask again when they run."""
    members = select(WorkspaceMember.workspace_id, WorkspaceMember.role, Workspace.personal_to).join(
        Workspace, Workspace.id == WorkspaceMember.workspace_id
    )
    rows = (await session.execute(members.where(WorkspaceMember.user_id == user_id))).all()
    personal = next((row.workspace_id for row in rows if row.personal_to == user_id), None)
    return Scope({row.workspace_id: row.role for row in rows}, personal)
