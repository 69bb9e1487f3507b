"""The strict base of every input model (design rule: unknown, loose and unbounded input is an error, never a guess)."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import GroupedMetadata
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SINCE_1970 = "^(19[7-9][0-9]|[2-9][0-9]{3})-"


class StrictModel(BaseModel):
    """Unknown fields, coerced types, NaN and infinities are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, frozen=True, ser_json_timedelta="iso8601"
    )


def _storable(value: str) -> str:
    # PostgreSQL text holds neither NUL nor surrogates; NFC makes "é" compare equal however it was typed.
    if "\x00" in value:
        raise PydanticCustomError("nul_character", "The text contains a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("surrogate", "The text contains a lone surrogate") from None
    return unicodedata.normalize("NFC", value)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "The text is blank")
    return value


@dataclass(frozen=True, slots=True)
class Text(GroupedMetadata):
    """Stands beside `str` in an `Annotated`: NFC, without NUL and surrogates, of so many characters."""

    max_length: int
    min_length: int = 0
    blank: bool = True

    def __iter__(self) -> Iterator[Any]:
        yield StringConstraints(min_length=self.min_length, max_length=self.max_length)
        yield AfterValidator(_storable)
        yield AfterValidator(self._still_fits)
        if not self.blank:
            yield AfterValidator(_not_blank)
            yield Field(json_schema_extra={"pattern": r"\S"})

    def _still_fits(self, value: str) -> str:
        # NFC takes some characters apart: U+0958 becomes two.
        if len(value) > self.max_length:
            raise PydanticKnownError("string_too_long", {"max_length": self.max_length})
        return value


Id = Annotated[UUID, Field(strict=False)]
"""A reference in a body: JSON has no UUIDs, so a strict model takes its text."""

ShownId = Annotated[UUID, PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string", "format": "uuid"})]
"""An id in an answer. The driver's ids are of a subclass of UUID, which pydantic writes three times as slowly itself."""


def digits(value: object) -> object:
    """For a number in a query: pydantic reads "1_0" and " 10" as ten."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) < 10):  # noqa: PLR2004
        raise PydanticKnownError("int_parsing")
    return value


Limit = Annotated[int, Field(ge=1, le=100, description="Items of one page."), BeforeValidator(digits)]
"""How many items a page may hold."""


def _true_or_false(value: object) -> object:
    # pydantic takes 1, "on" and "yes" as well.
    if isinstance(value, bool) or value in ("true", "false"):
        return value
    raise PydanticKnownError("bool_parsing")


Flag = Annotated[bool, BeforeValidator(_true_or_false)]
"""Yes or no in a query or a form: `true` or `false`."""


def _in_range(value: datetime) -> datetime:
    try:
        moment = value.astimezone(UTC)
    except (OverflowError, ValueError):
        raise PydanticCustomError("time_out_of_range", "The time is outside of the years 1970 to 9999") from None
    if not EARLIEST <= moment <= LATEST:
        raise PydanticCustomError("time_out_of_range", "The time is outside of the years 1970 to 9999")
    return moment


def _begins_with_a_date(value: object) -> object:
    # pydantic reads a number, also one in a string, as seconds or milliseconds since 1970.
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise PydanticKnownError("datetime_parsing", {"error": "a date comes first"})


Instant = Annotated[
    AwareDatetime,
    Field(strict=False, json_schema_extra={"pattern": _SINCE_1970}),
    BeforeValidator(_begins_with_a_date),
    AfterValidator(_in_range),
]
"""A moment: RFC 3339 with an offset on the way in (a naive time is an error), UTC inside, 1970 to 9999."""


def _written_day(value: object) -> object:
    # Left to itself pydantic takes numbers, and moments at midnight, for days.
    if type(value) is date or (isinstance(value, str) and _DATE.fullmatch(value)):
        return value
    raise PydanticCustomError("not_a_day", "A day is written like 2026-01-31")


Day = Annotated[
    date,
    BeforeValidator(_written_day, json_schema_input_type=date),
    Field(strict=False, ge=EARLIEST.date(), lt=LATEST.date(), json_schema_extra={"pattern": _SINCE_1970}),
]
"""A day of the calendar, in whichever zone: 2026-01-31 on the way in, 1970 to 9999."""

Email = Annotated[EmailStr, StringConstraints(max_length=254), AfterValidator(_storable)]
"""An address of at most 254 characters (RFC 5321 4.5.3.1.3)."""


_NO_ZONES = re.compile(r"(?:posix|right)/.*|localtime|posixrules|Factory")
"""What the folder of zones may hold beside zones: other forms of them, and what means another zone on each machine."""


def zone_named(name: str) -> ZoneInfo | None:
    """The IANA zone of that name; None where there is none that every machine knows by it."""
    try:
        return None if _NO_ZONES.fullmatch(name) else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _zone(value: str) -> str:
    if zone_named(value) is None:
        raise PydanticCustomError("unknown_time_zone", "This is no IANA time zone")
    return value


TimeZone = Annotated[
    str, Text(64, min_length=1), AfterValidator(_zone), Field(json_schema_extra={"format": "iana-time-zone"})
]
"""The name of an IANA time zone."""


def rfc3339(moment: datetime) -> str:
    """UTC with `Z`, microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


UtcTime = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment on the way out."""
