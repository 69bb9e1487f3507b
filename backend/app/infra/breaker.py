"""A circuit breaker: what keeps failing is left alone for a while, at no cost to those who would have waited for it."""

from __future__ import annotations

import time


class Breaker:
    """Opens after `failures` in a row; after `pause` seconds one caller may try again, and its outcome decides.

    Not tied to an event loop: a thread may use it as well.
    """

    def __init__(self, failures: int = 3, pause: float = 1.0) -> None:
        self._limit = failures
        self._pause = pause
        self._failed = 0
        self._closed_again = 0.0

    def allows(self) -> bool:
        """Whether to try now. True for one caller only once the pause is over."""
        if self._failed < self._limit:
            return True
        now = time.monotonic()
        if now < self._closed_again:
            return False
        self._closed_again = now + self._pause
        return True

    @property
    def is_open(self) -> bool:
        return self._failed >= self._limit

    def succeeded(self) -> None:
        self._failed = 0

    def failed(self) -> None:
        self._failed += 1
        self._closed_again = time.monotonic() + self._pause
