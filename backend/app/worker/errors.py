"""How an attempt ends other than by returning."""

from __future__ import annotations

from datetime import timedelta
from typing import Any


class Permanent(Exception):
    """No further attempt would help: the job is discarded with this stable `code` and, if any, `result`."""

    def __init__(self, code: str, message: str = "", *, result: dict[str, Any] | None = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.result = result


class Retry(Exception):
    """Try again, `after` so many seconds (what a `Retry-After` said) or else after the kind's backoff.

    Not `counted`: what the job is for could not be tried at all; it waits, and the attempt is given back.
    """

    def __init__(
        self, *, after: float | timedelta | None = None, code: str = "retry", message: str = "", counted: bool = True
    ) -> None:
        super().__init__(message or code)
        self.after = after.total_seconds() if isinstance(after, timedelta) else after
        self.counted = counted
        self.code = code
        self.message = message or code


class Stopped(BaseException):
    """The attempt must end now. Not an `Exception`: a handler that catches those lets this one through."""


class Cancelled(Stopped):
    """Somebody cancelled the job."""


class LeaseLost(Stopped):
    """The job belongs to another attempt: nothing that this one writes may count."""
