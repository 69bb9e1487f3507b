from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class LoginFailure(Base):
    """Failed sign-ins in a row for one identifier, whether an account has it or not.

    Identifiers are kept as digests: people type their password into the wrong field.
    """

    __tablename__ = "login_failures"

    identifier: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """Digest of the address, normalised."""
    device: Mapped[str] = mapped_column(primary_key=True)
    """The client's address if the account signed in from it before, else empty: strangers lock no known device out."""
    account: Mapped[bytes] = mapped_column(LargeBinary)
    """Digest of the address without its `+tag`: what blocks one of them blocks all."""
    failures: Mapped[int]
    last_failed_at: Mapped[datetime]
    blocked_until: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_login_failures_account", account),
        Index("ix_login_failures_last_failed_at", "last_failed_at"),
    )
