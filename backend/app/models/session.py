from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes


class Session(HasId, HasTimes, Base):
    """One sign-in (a refresh-token family). Its row decides whether its tokens count; `revoked_at` ends it."""

    __tablename__ = "sessions"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    refresh_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the refresh token that counts now."""
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """SHA-256 of the one before it, honoured for the grace window after `rotated_at`."""
    rotated_at: Mapped[datetime | None]
    user_agent: Mapped[str | None]
    address: Mapped[str | None]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_sessions_user_id", user_id), Index("ix_sessions_expires_at", "expires_at"))
