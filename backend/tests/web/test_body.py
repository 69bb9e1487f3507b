"""JSON is read strictly before any model sees it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.errors import UnsupportedMediaType
from app.web.body import DuplicateKey, InvalidJson, JsonTooComplex, parse_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_what_is_json_is_read_as_it_was_written(value):
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"{} {}",
        b"'a'",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"01",
    ],
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(InvalidJson):
        parse_json(body)


def test_what_was_sent_is_not_repeated():
    with pytest.raises(InvalidJson) as refused:
        parse_json(b'{"password": hunter2}')

    assert refused.value.detail == "The body is not valid JSON at character 13"


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(DuplicateKey):
        parse_json(b'[{"a": {"b": 1, "b": 1}}]')


def test_twenty_levels_are_read_and_more_are_not():
    assert parse_json(b"[" * 20 + b"]" * 20)
    for depth in (21, 1_000, 200_000):
        with pytest.raises(JsonTooComplex):
            parse_json(b"[" * depth + b"]" * depth)


def test_ten_thousand_keys_are_read_and_more_are_not():
    assert len(parse_json(json.dumps({str(n): n for n in range(10_000)}).encode())) == 10_000
    with pytest.raises(JsonTooComplex):
        parse_json(json.dumps([{str(n): n for n in range(101)} for _ in range(100)]).encode())


def test_json_is_utf_8():
    assert parse_json('"é"'.encode(), 'application/json; charset="UTF-8"') == "é"
    with pytest.raises(UnsupportedMediaType):
        parse_json('"é"'.encode("latin-1"), "application/json; charset=iso-8859-1")
