from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from uuid import uuid4

import pytest
import time_machine

from app.identity import tokens as module
from app.identity.tokens import AUDIENCE, ISSUER, LEEWAY_SECONDS, AccessTokens, InvalidTokenError, RefreshTokens, derive

SECRET = "0123456789abcdef0123456789abcdef"
SESSION, USER = uuid4(), uuid4()


@pytest.fixture
def tokens():
    return AccessTokens([SECRET], lifetime=900)


def claims(**changes):
    now = int(time.time())
    made = {
        "typ": "access",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 900,
        "jti": uuid4().hex,
        "sid": SESSION.hex,
        "sub": USER.hex,
        "scopes": ["*"],
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def key_of(secret=SECRET):
    return derive([secret], "access-token")[0]


def forge(payload, *, key=None, algorithm="HS256", **header):
    """By hand, because the library refuses to make most of these."""
    kid = hashlib.sha256(key_of()).hexdigest()[:16]
    signed = ".".join(spell(json.dumps(part).encode()) for part in ({"alg": algorithm, "kid": kid, **header}, payload))
    digest = f"sha{algorithm[2:]}" if algorithm[:2] == "HS" else ""
    signature = hmac.digest(key_of() if key is None else key, signed.encode(), digest) if digest else b""
    return f"{signed}.{spell(signature)}"


def spell(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_a_token_says_whose_session_it_is(tokens):
    found = tokens.verify(tokens.issue(SESSION, USER))
    assert (found.session_id, found.user_id, found.scopes) == (SESSION, USER, {"*"})


def test_a_well_made_forgery_with_the_real_key_counts_so_that_the_others_fail_for_their_own_reason(tokens):
    assert tokens.verify(forge(claims())).session_id == SESSION


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
def test_a_token_without_a_signature_is_refused(tokens, algorithm):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(), algorithm=algorithm))


def test_a_token_whose_signature_was_taken_off_is_refused(tokens):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims()).rpartition(".")[0] + ".")


@pytest.mark.parametrize(
    "key", [b"", b"secret", SECRET.encode(), b'{"kty":"oct","k":"c2VjcmV0"}', key_of("another" * 8)]
)
def test_a_token_signed_with_another_key_is_refused(tokens, key):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(), key=key))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused(tokens, algorithm):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(), algorithm=algorithm))


@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1 --", "k" * 1000, ""])
def test_an_unknown_key_id_is_refused(tokens, kid):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(), kid=kid))


def test_a_header_that_points_elsewhere_brings_in_no_key(tokens):
    evil = key_of("evil" * 16)
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(evil).decode()}
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(), key=evil, jwk=jwk, jku="https://evil.example/keys", x5u="https://evil.example/c"))


def test_an_unknown_critical_header_is_refused(tokens):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(), crit=["surprise"], surprise=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - LEEWAY_SECONDS - 1, "iat": int(time.time()) - 900},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 4000},
        {"exp": None},
        {"iat": None},
        {"exp": 1e30},
        {"exp": 10**30},
        {"exp": str(int(time.time()) + 600)},
        {"exp": int(time.time()) + 10**6},
        {"exp": True},
    ],
)
def test_a_token_of_another_time_is_refused(tokens, changes):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": None},
        {"aud": "another"},
        {"aud": [AUDIENCE]},
        {"aud": [AUDIENCE, "another"]},
        {"iss": None},
        {"iss": ISSUER[:-1]},
        {"iss": ISSUER + ".evil.example"},
        {"iss": [ISSUER]},
    ],
)
def test_a_token_of_or_for_somebody_else_is_refused(tokens, changes):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(**changes)))


@pytest.mark.parametrize(
    "changes",
    [{"typ": "refresh"}, {"typ": "reset"}, {"typ": None}, {"sid": None}, {"sid": "x"}, {"sub": 7}, {"scopes": None}],
)
def test_a_token_for_another_purpose_is_refused(tokens, changes):
    with pytest.raises(InvalidTokenError):
        tokens.verify(forge(claims(**changes)))


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "é.é.é", "x" * 65_536, RefreshTokens([SECRET]).new(SESSION)],
    ids=["empty", "dot", "dots", "letters", "accents", "long", "refresh token"],
)
def test_what_is_no_access_token_is_refused(tokens, token):
    with pytest.raises(InvalidTokenError):
        tokens.verify(token)


def test_a_new_key_signs_and_the_earlier_one_still_verifies(tokens):
    old = tokens.issue(SESSION, USER)
    rotated = AccessTokens(["n" * 32, SECRET], lifetime=900)
    new = rotated.issue(SESSION, USER)
    assert rotated.verify(old).session_id == rotated.verify(new).session_id == SESSION
    with pytest.raises(InvalidTokenError):
        tokens.verify(new)


def test_a_remembered_token_does_not_outlive_its_expiry(tokens):
    with time_machine.travel("2026-01-01T00:00:00Z", tick=False) as clock:
        token = tokens.issue(SESSION, USER)
        assert tokens.verify(token) is tokens.verify(token)
        clock.shift(900 + LEEWAY_SECONDS - 1)
        tokens.verify(token)
        clock.shift(1)
        with pytest.raises(InvalidTokenError):
            tokens.verify(token)
    assert not tokens._verified


def test_no_more_tokens_are_remembered_than_there_is_room_for(tokens, monkeypatch):
    monkeypatch.setattr(module, "_CACHED_TOKENS", 3)
    made = [tokens.issue(SESSION, USER) for _ in range(5)]
    for token in made:
        tokens.verify(token)
    assert list(tokens._verified) == made[2:]
