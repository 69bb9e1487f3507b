"""Cursors: they come back as they went out, or not at all."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.errors import InvalidInput
from app.kit.pagination import CursorCodec

codec = CursorCodec(b"the secret of this application")
scalars = st.one_of(
    st.text(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.none()
)
keys = st.lists(scalars, min_size=1, max_size=4)


def refused(codec, binding, cursor, length):
    with pytest.raises(InvalidInput) as error:
        codec.decode(binding, cursor, length)
    return [(problem.pointer, problem.code) for problem in error.value.errors] == [("?cursor", "invalid_cursor")]


@given(st.text(), keys)
def test_a_cursor_gives_its_values_back(binding, values):
    cursor = codec.encode(binding, values)

    assert codec.decode(binding, cursor, len(values)) == values
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?#% ")


@given(keys, st.data())
def test_a_cursor_with_any_bit_changed_is_refused(values, data):
    cursor = codec.encode("q", values)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    assert refused(codec, "q", base64.urlsafe_b64encode(raw).decode().rstrip("="), len(values))


@given(st.text(), st.text(), keys)
def test_a_cursor_of_another_query_is_refused(mine, other, values):
    cursor = codec.encode(mine, values)

    assert mine == other or refused(codec, other, cursor, len(values))


def test_a_cursor_of_another_secret_is_refused():
    assert refused(CursorCodec(b"another secret"), "q", codec.encode("q", ["a"]), 1)


def test_a_cursor_of_another_length_is_refused():
    assert refused(codec, "q", codec.encode("q", ["a", "b"]), 1)


@given(st.text())
def test_what_is_no_cursor_is_refused(text):
    assert refused(codec, "q", text, 1)
