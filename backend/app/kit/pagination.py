"""Opaque cursors: signed, and bound to the query that they continue."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from app.kit.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAC_BYTES = 12


class CursorCodec:
    """Writes and reads the cursors of one application; `key` is derived from its secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(b"cursor", key=hashlib.sha256(secret).digest()).digest()

    def _mac(self, binding: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, binding + b"\x00" + body, "sha256")[:_MAC_BYTES]

    def encode(self, binding: str, values: Sequence[Any]) -> str:
        """`values` are JSON scalars: the sort key of the last row of the page, its id last."""
        body = to_json(list(values))
        return base64.urlsafe_b64encode(self._mac(binding.encode(), body) + body).decode().rstrip("=")

    def decode(self, binding: str, cursor: str, length: int) -> list[Any]:
        """The values again. Raises InvalidInput when it is not ours, was changed, or belongs to another query."""
        try:
            raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        except ValueError:
            raw = b""
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(binding.encode(), body)):
            raise invalid("?cursor", "invalid_cursor", "The cursor does not belong to this query; start without one")
        values = from_json(body)
        if not isinstance(values, list) or len(values) != length:
            raise invalid("?cursor", "invalid_cursor", "The cursor does not belong to this query; start without one")
        return values
