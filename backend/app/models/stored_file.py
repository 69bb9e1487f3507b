from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes


class StoredFile(HasId, HasTimes, Base):
    """A file kept in storage under a random key; `name` is what the sender called it, and only data.

    It goes with the attachment or the job that it belongs to. Bytes without a row are deleted by `files.sync`.
    """

    __tablename__ = "stored_files"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    attachment_id: Mapped[UUID | None] = mapped_column(ForeignKey("attachments.id", ondelete="CASCADE"))
    thumbnail: Mapped[str | None]
    """The size, for a thumbnail of the attachment; null for what was sent."""
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    storage_key: Mapped[str] = mapped_column(Text(collation="C"), unique=True)
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (
        Index("ix_stored_files_workspace_id", workspace_id),
        Index("ix_stored_files_job_id", job_id, postgresql_where=text("job_id IS NOT NULL")),
        Index(
            "uq_stored_files_attachment_id",
            attachment_id,
            "thumbnail",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("attachment_id IS NOT NULL"),
        ),
    )
