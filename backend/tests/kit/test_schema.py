"""Input is strict: what is loose, unbounded or cannot be stored is an error."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from app.kit.schema import Email, Flag, Id, Instant, Limit, StrictModel, Text, TimeZone, UtcTime


def codes(kind: Any, value: Any) -> list[str]:
    with pytest.raises(ValidationError) as error:
        TypeAdapter(kind).validate_python(value)
    return [problem["type"] for problem in error.value.errors()]


def taken(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


class Sample(StrictModel):
    number: float = 0
    whole: int = 0
    yes: bool = False
    reference: Id | None = None


@pytest.mark.parametrize(
    "fields",
    [
        {"other": 1},
        {"number": "1"},
        {"number": True},
        {"number": float("nan")},
        {"number": float("inf")},
        {"number": 10**400},
        {"whole": 1.0},
        {"whole": "1"},
        {"yes": 1},
        {"yes": "true"},
        {"reference": 7},
        {"reference": "7"},
    ],
)
def test_unknown_fields_and_loose_values_are_refused(fields):
    with pytest.raises(ValidationError):
        Sample.model_validate(fields)


def test_json_has_no_uuids_so_their_text_is_taken():
    text = "0190c6a4-0000-7000-8000-000000000000"

    assert Sample.model_validate({"reference": text}).reference == UUID(text)


Short = Annotated[str, Text(5, min_length=1, blank=False), Field(strict=True)]


def test_a_text_is_normalized():
    assert taken(Short, "e\u0301") == "é"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("", "string_too_short"),
        ("abcdef", "string_too_long"),
        ("a\x00b", "nul_character"),
        ("\ud800", "string_unicode"),
        ("\u0958" * 3, "string_too_long"),  # each becomes two
        (" \t\u3000", "blank"),
        (b"abc", "string_type"),
        (5, "string_type"),
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(value, code):
    assert codes(Short, value) == [code]


@given(st.text())
def test_every_text_that_is_taken_can_be_stored(value):
    try:
        kept = taken(Annotated[str, Text(20)], value)
    except ValidationError:
        return
    assert kept == unicodedata.normalize("NFC", value)
    assert len(kept) <= 20
    assert b"\x00" not in kept.encode()


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T00:00:00Z", datetime(9999, 12, 31, tzinfo=UTC)),
        ("2030-01-01T01:30:00+05:30", datetime(2029, 12, 31, 20, tzinfo=UTC)),
        ("2030-06-01T12:00:00.123456-07:00", datetime(2030, 6, 1, 19, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_a_moment_is_taken_with_any_offset_and_kept_in_utc(value, moment):
    kept = taken(Instant, value)

    assert (kept, kept.utcoffset()) == (moment, timedelta(0))


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-01T00:00:00",
        "1969-12-31T23:59:59Z",
        "9999-12-31T00:00:01Z",
        "9999-12-31T23:59:59-23:00",
        "0001-01-01T00:00:00+23:59",
        "1970-01-01T00:00:00+00:01",
        "2030-02-30T00:00:00Z",
        "2030-01-01T25:00:00Z",
        "tomorrow",
        "",
    ],
)
def test_a_moment_that_is_none_or_out_of_range_is_refused(value):
    assert len(codes(Instant, value)) == 1


def test_a_moment_goes_out_in_utc_with_a_z():
    class Out(BaseModel):
        at: UtcTime

    there = timezone(timedelta(hours=2))
    assert Out(at=datetime(2030, 1, 1, 2, tzinfo=there)).model_dump_json() == '{"at":"2030-01-01T00:00:00Z"}'
    assert Out(at=datetime(2030, 1, 1, microsecond=5, tzinfo=UTC)).model_dump_json() == (
        '{"at":"2030-01-01T00:00:00.000005Z"}'
    )


@pytest.mark.parametrize("value", ["1", "50", "100", 7])
def test_a_limit_of_one_to_a_hundred_is_taken(value):
    assert taken(Limit, value) == int(value)


@pytest.mark.parametrize("value", ["0", "101", "-1", "1_0", " 10", "1.0", "", "١", "9" * 400])
def test_any_other_limit_is_refused(value):
    assert len(codes(Limit, value)) == 1


@pytest.mark.parametrize("value", ["Europe/Berlin", "UTC", "America/Argentina/Ushuaia"])
def test_an_iana_zone_is_taken(value):
    assert taken(TimeZone, value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Mars/Olympus",
        "../../etc/passwd",
        "/etc/passwd",
        "Europe",
        "Europe/Berlin\n",
        "x" * 65,
        "a\x00",
        "localtime",
        "right/UTC",
    ],
)
def test_what_is_no_zone_is_refused(value):
    assert len(codes(TimeZone, value)) == 1


@pytest.mark.parametrize("value", ["ada", "ada@", "@example.com", "a\x00@example.com", "x" * 250 + "@a.de", "a b@c.de"])
def test_what_is_no_address_is_refused(value):
    assert codes(Email, value)


@pytest.mark.parametrize("number", [0, 1700000000, 0.5, "0.5", "1700000000", "1e9"])
def test_a_number_is_no_moment(number: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Instant).validate_python(number)


@pytest.mark.parametrize("word", ["1", "0", "on", "yes", "T", "", 1])
def test_a_flag_is_true_or_false(word: Any) -> None:
    flag = TypeAdapter(Flag)
    assert [flag.validate_python("true"), flag.validate_python("false")] == [True, False]
    with pytest.raises(ValidationError):
        flag.validate_python(word)
