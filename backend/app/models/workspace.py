from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes, one_of

ROLES = ("viewer", "member", "admin", "owner")


class Workspace(HasId, HasTimes, Base):
    """The boundary of sharing and of data; every user has a personal one."""

    __tablename__ = "workspaces"

    name: Mapped[str]
    personal_to: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    """The user whose personal workspace this is; null for a shared one."""
    version: Mapped[int] = mapped_column(server_default="1")


class WorkspaceMember(HasTimes, Base):
    __tablename__ = "workspace_members"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str]

    __table_args__ = (
        CheckConstraint(one_of("role", ROLES), name="role"),
        Index("ix_workspace_members_user_id", user_id),
    )
