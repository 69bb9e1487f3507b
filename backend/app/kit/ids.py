"""Identifiers made by the application."""

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562 5.7), strictly increasing within this process.

    48 bits of Unix milliseconds, then 12 + 62 random bits; where two fall into one millisecond (or the clock steps
    back) the later one is the former plus a random step, method 2 of RFC 9562 6.2.
    """
    global _last  # noqa: PLW0603  the monotonic state of the process
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    with _lock:
        value = (milliseconds << 74) | (random & ((1 << 74) - 1))
        if value <= _last:
            value = _last + 1 + (random & 0xFFFF)
        _last = value
    high, low = value >> 62, value & ((1 << 62) - 1)
    return UUID(int=((high >> 12) << 80) | (0x7 << 76) | ((high & 0xFFF) << 64) | (0b10 << 62) | low)
