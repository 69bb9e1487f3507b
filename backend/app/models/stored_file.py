from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes


class StoredFile(HasId, HasTimes, Base):
    """A file kept in storage under a random key; `name` is what the sender called it, and only data."""

    __tablename__ = "stored_files"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    storage_key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (Index("ix_stored_files_workspace_id", workspace_id),)
