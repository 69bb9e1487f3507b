from datetime import datetime

from sqlalchemy import Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class OutgoingCircuit(Base):
    """A host that fails when it is called: every process leaves it alone for a while. A host without a row is well."""

    __tablename__ = "outgoing_circuits"

    host: Mapped[str] = mapped_column(primary_key=True)
    """`name:port`, lower case."""
    failures: Mapped[int] = mapped_column(SmallInteger)
    """In a row."""
    open_until: Mapped[datetime]
    """Counts once there are enough failures."""
    trying: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether one call was let through to see (half open)."""
    failed_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (Index("ix_outgoing_circuits_failed_at", "failed_at"),)
