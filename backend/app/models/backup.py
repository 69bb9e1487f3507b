from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class Backup(Base):
    """What is known of one backup: news for operators. What it holds stands beside it, in its manifest."""

    __tablename__ = "backups"

    name: Mapped[str] = mapped_column(primary_key=True)
    taken_at: Mapped[datetime]
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes to restore."""
    verified_at: Mapped[datetime | None]
    restore_seconds: Mapped[float | None]
    """How long it took to restore it, to prove it."""
