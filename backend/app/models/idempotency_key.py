from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base

IDEMPOTENCY_HOURS = 24
"""How long a key counts."""


class IdempotencyKey(Base):
    """The stored answer to a request that carried `Idempotency-Key`; written with the effect."""

    __tablename__ = "idempotency_keys"

    caller_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of method, path, query and body: another request under the same key is refused."""
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = (Index("ix_idempotency_keys_created_at", created_at),)
