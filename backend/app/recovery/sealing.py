"""Encryption of a stream under a key of the operator's, so that the place where backups are need not be trusted.

The construction is that of age (C2SP, age-encryption.org/v1, "Payload"), with AES-256-GCM for its cipher: a key for each
object by HKDF-SHA-256 from a random salt, chunks of 64 KiB, the chunk's number and whether it is the last in the nonce.
So a chunk can be neither changed nor moved, nor the end be cut off. The object's name goes into its key: one object
cannot stand in for another.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.recovery.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SALT_BYTES = 16
_CHUNK = 1 << 16
_TAG_BYTES = 16


def fingerprint(key: bytes) -> str:
    """Tells keys apart without telling anything about them."""
    return _derived(key, b"", b"fingerprint")[:4].hex()


async def seal(key: bytes, name: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    salt = secrets.token_bytes(_SALT_BYTES)
    cipher = _cipher(key, salt, name)
    yield salt
    async for number, chunk, last in _cut(chunks, _CHUNK):
        yield cipher.encrypt(_nonce(number, last=last), chunk, None)


async def unseal(key: bytes, name: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Raises BackupError where it was not sealed with this key and name, or is not whole."""
    damaged = BackupError(f"{name} cannot be opened: it is damaged, or BACKUP_KEY is another one")
    pieces = _cut(chunks, _CHUNK + _TAG_BYTES, first=_SALT_BYTES)
    _, salt, last = await anext(pieces)
    if last:
        raise damaged
    cipher = _cipher(key, salt, name)
    async for number, chunk, last in pieces:
        try:
            yield cipher.decrypt(_nonce(number - 1, last=last), chunk, None)
        except InvalidTag:
            raise damaged from None


async def _cut(
    chunks: AsyncIterator[bytes], size: int, first: int | None = None
) -> AsyncIterator[tuple[int, bytes, bool]]:
    """Pieces of `size` bytes (the first of `first`) with their number, and whether each is the last, which is shorter."""
    rest, number = bytearray(), 0
    async for chunk in chunks:
        rest += chunk
        while len(rest) > (wanted := first if first is not None and number == 0 else size):
            yield number, bytes(rest[:wanted]), False
            del rest[:wanted]
            number += 1
    yield number, bytes(rest), True


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def _cipher(key: bytes, salt: bytes, name: str) -> AESGCM:
    return AESGCM(_derived(key, salt, name.encode()))


def _derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, b"taskapi backup: " + purpose).derive(key)
