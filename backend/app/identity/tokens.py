"""Access tokens (signed, short-lived, RFC 9068 in the main) and refresh tokens (opaque, rotated at each use)."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import jwt

from app.kit.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ISSUER = AUDIENCE = "task-management-api"
ALGORITHM = "HS256"
LEEWAY_SECONDS = 10
"""How far the clocks of two processes may differ."""
MAX_TOKEN_CHARACTERS = 2048
"""Ours have some 500; what is longer is not looked at."""
EVERYTHING = frozenset({"*"})
"""The scopes of a sign-in."""
_ACCESS = "access"
_REQUIRED = ["typ", "iss", "aud", "exp", "iat", "jti", "sid", "sub", "scopes"]
_CACHED_TOKENS = 10_000


class InvalidTokenError(Exception):
    """Not a token of ours, or no longer; which of the two is nobody's business."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified access token says. `expires_at` is in Unix seconds."""

    session_id: UUID
    user_id: UUID
    scopes: frozenset[str]
    expires_at: int


def derive(secrets: Iterable[str], purpose: str) -> list[bytes]:
    """One key for each secret, so that what is signed for one purpose never counts for another."""
    return [hmac.digest(secret.encode(), purpose.encode(), "sha256") for secret in secrets]


class AccessTokens:
    """Signs with the first key; verifies with all of them, found by the token's key id.

    Verified tokens are remembered, at most 10,000 and never beyond their expiry, because verifying costs more than
    everything else that a read does in Python.
    """

    def __init__(self, secrets: Sequence[str], lifetime: int) -> None:
        """`secrets`: the current one first; `lifetime` in seconds."""
        self.lifetime = lifetime
        keys = derive(secrets, "access-token")
        self._keys = {hashlib.sha256(key).hexdigest()[:16]: key for key in keys}
        self._key_id = next(iter(self._keys))
        self._verified: dict[str, Claims] = {}

    def issue(self, session_id: UUID, user_id: UUID, *, scopes: Iterable[str] = EVERYTHING) -> str:
        now = int(time.time())
        claims = {
            "typ": _ACCESS,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": new_id().hex,
            "sid": session_id.hex,
            "sub": user_id.hex,
            "scopes": sorted(scopes),
        }
        return jwt.encode(claims, self._keys[self._key_id], ALGORITHM, headers={"kid": self._key_id})

    def verify(self, token: str) -> Claims:
        """Raises InvalidTokenError."""
        claims = self._verified.get(token)
        if claims is not None and time.time() < claims.expires_at + LEEWAY_SECONDS:
            return claims
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise InvalidTokenError
        try:
            claims = self._read(token)
        except (jwt.PyJWTError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            self._verified.pop(token, None)
            raise InvalidTokenError from error
        if len(self._verified) >= _CACHED_TOKENS:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = claims
        return claims

    def _read(self, token: str) -> Claims:
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": _REQUIRED, "strict_aud": True},
        )
        issued, expires = claims["iat"], claims["exp"]
        if claims["typ"] != _ACCESS or type(issued) is not int or type(expires) is not int:
            raise InvalidTokenError
        if expires - issued > self.lifetime:
            raise InvalidTokenError
        return Claims(UUID(hex=claims["sid"]), UUID(hex=claims["sub"]), frozenset(claims["scopes"]), expires)


_PREFIX = "rt_"
"""Tells people, log redaction and secret scanners what they look at."""
_ID_BYTES = 16
_SECRET_BYTES = 32
_SEAL_BYTES = 16
_TOKEN_BYTES = _ID_BYTES + _SECRET_BYTES + _SEAL_BYTES


class RefreshTokens:
    """`rt_` and, in base64url, the session's id, 256 secret bits and a seal that proves the token was made here.

    The seal recognises every token ever made for a session, so that one from long ago is told from a guess without
    keeping the old ones. A token's successor is a function of the token and our key: a client that lost the answer gets
    the same one again, and nothing secret is stored for it.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        """`secrets`: the current one first."""
        self._seals = derive(secrets, "refresh-token-seal")
        self._successors = derive(secrets, "refresh-token-successor")

    def new(self, session_id: UUID) -> str:
        return _write(session_id, os.urandom(_SECRET_BYTES), self._seals[0])

    def successors(self, token: str) -> list[str]:
        """What follows the token: under the current key first, then under each earlier one."""
        session_id = self.session_of(token)
        if session_id is None:
            raise InvalidTokenError
        keys = zip(self._seals, self._successors, strict=True)
        return [_write(session_id, hmac.digest(key, token.encode(), "sha256"), seal) for seal, key in keys]

    def session_of(self, token: str) -> UUID | None:
        """The session that the token was made for, whether it still counts or not; None when it was not made here."""
        try:
            raw = urlsafe_b64decode(token.removeprefix(_PREFIX).encode("ascii") + b"==")
        except ValueError:
            return None
        # Decoding overlooks foreign characters: only the one right spelling is the token.
        if len(raw) != _TOKEN_BYTES or _spell(raw) != token:
            return None
        body, seal = raw[:-_SEAL_BYTES], raw[-_SEAL_BYTES:]
        if not any(hmac.compare_digest(seal, _seal(key, body)) for key in self._seals):
            return None
        return UUID(bytes=body[:_ID_BYTES])


def _seal(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_SEAL_BYTES]


def _write(session_id: UUID, secret: bytes, key: bytes) -> str:
    body = session_id.bytes + secret
    return _spell(body + _seal(key, body))


def _spell(raw: bytes) -> str:
    return _PREFIX + urlsafe_b64encode(raw).decode().rstrip("=")


def digest(token: str) -> bytes:
    """What is stored of a refresh token."""
    return hashlib.sha256(token.encode()).digest()
