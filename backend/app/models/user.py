from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, HasId, HasTimes


class User(HasId, HasTimes, Base):
    """A person who signs in. Addresses compare case-insensitively."""

    __tablename__ = "users"

    email: Mapped[str]
    name: Mapped[str | None]
    password_hash: Mapped[str]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    is_superuser: Mapped[bool] = mapped_column(server_default="false")
    email_verified_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default="1")

    __table_args__ = (Index("uq_users_email", text("lower(email)"), unique=True),)
