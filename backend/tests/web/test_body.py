from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.errors import UnsupportedMediaType
from app.web.body import MAX_DEPTH, MAX_KEYS, DuplicateKey, InvalidJson, JsonTooComplex, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_json_comes_out_as_it_is(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,]",
        b"{'a': 1}",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[" + b"9" * 5000 + b"]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"{} {}",
        b"// comment\n{}",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJson) as refusal:
        parse_json(body)
    assert "999" not in refusal.value.detail


@pytest.mark.parametrize("body", [b'{"a": 1, "a": 2}', b'[{"b": {"a": 1, "\\u0061": 2}}]'])
def test_a_key_may_stand_once_in_an_object(body: bytes) -> None:
    with pytest.raises(DuplicateKey):
        parse_json(body)


def test_depth_and_keys_are_bounded() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert parse_json(json.dumps({str(number): 0 for number in range(MAX_KEYS)}).encode())
    for body in (
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b"[" * 50_000,
        b"[" * 50_000 + b"]" * 50_000,
        json.dumps({str(number): 0 for number in range(MAX_KEYS + 1)}).encode(),
        json.dumps([{str(number): 0} for number in range(MAX_KEYS + 1)]).encode(),
    ):
        with pytest.raises(JsonTooComplex):
            parse_json(body)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=UTF-8", "application/json;x=y"]
)
def test_utf_8_may_be_named(content_type: str) -> None:
    assert parse_json(b"{}", content_type) == {}


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "bogus", '"utf-32"'])
def test_another_charset_is_refused(charset: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        parse_json(b"{}", f"application/json; charset={charset}")
