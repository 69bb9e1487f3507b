from __future__ import annotations

from base64 import urlsafe_b64decode
from uuid import uuid4

import pytest

from app.identity.tokens import AccessTokens, RefreshTokens

OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture
def refresh():
    return RefreshTokens([NEW, OLD])


def test_a_token_names_its_session_and_holds_256_secret_bits(refresh):
    session = uuid4()
    tokens = {refresh.new(session) for _ in range(50)}
    assert {refresh.session_of(token) for token in tokens} == {session}
    secrets = {urlsafe_b64decode(token.removeprefix("rt_") + "==")[16:48] for token in tokens}
    assert len(secrets) == 50
    assert all(len(secret) * 8 == 256 for secret in secrets)


def test_a_token_that_was_not_made_here_names_no_session(refresh):
    token = refresh.new(uuid4())
    changed = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
    for other in (
        "",
        "rt_",
        changed,
        token[:-1],
        token + "A",
        token + "\n",
        token[3:],
        "é" + token,
        token + "=",
        "x" * 10_000,
    ):
        assert refresh.session_of(other) is None
    assert refresh.session_of(RefreshTokens(["x" * 32]).new(uuid4())) is None
    assert refresh.session_of(AccessTokens([NEW], 900).issue(uuid4(), uuid4())) is None


def test_a_token_has_one_successor_of_the_same_session(refresh):
    session = uuid4()
    token = refresh.new(session)
    first, _ = refresh.successors(token)
    assert first == refresh.successors(token)[0] != token
    assert refresh.session_of(first) == session
    assert first != refresh.successors(refresh.new(session))[0]


def test_the_successor_made_under_an_earlier_key_is_found_again(refresh):
    before = RefreshTokens([OLD])
    token = before.new(uuid4())
    assert before.successors(token)[0] in refresh.successors(token)
