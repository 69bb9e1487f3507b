from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, one_of

SUPPRESSION_REASONS = ("refused", "asked")


class MailSuppression(Base):
    """An address that gets no mail: its server refused it for good, or somebody asked for that."""

    __tablename__ = "mail_suppressions"

    address: Mapped[str] = mapped_column(primary_key=True)
    """Lower case."""
    reason: Mapped[str]
    job_id: Mapped[UUID | None]
    """The message that was refused; its job may be gone by now."""
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (CheckConstraint(one_of("reason", SUPPRESSION_REASONS), name="reason"),)
