"""What every table shares."""

import re
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.kit.ids import new_id


class Base(DeclarativeBase):
    """Names of constraints are fixed, so that a migration can name what it drops."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        str: Text,
        UUID: Uuid(as_uuid=True, native_uuid=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
    }


class HasId:
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)


class HasTimes:
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"))


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The text of a check constraint: `column` holds one of these plain words."""
    if not all(re.fullmatch(r"[a-z_]+", value) for value in values):
        raise ValueError(values)
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
