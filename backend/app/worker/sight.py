"""What a worker's processes tell of their work: facts over a socket that never keeps them waiting.

Pool processes come and go, so the figures are kept by the reconciler beside them, in one place (`WorkerMetrics`).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

from pydantic_core import from_json, to_json

_LARGEST = 4096


class Tell(Protocol):
    def __call__(self, fact: str, /, **details: Any) -> None: ...


def tell_nobody(_: str, /, **__: Any) -> None:
    """For a process that nobody watches."""


class Channel:
    """Made before the pool forks. A fact that does not fit in at once is lost: work goes first."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.reader.setblocking(False)
        self._writer.setblocking(False)

    def tell(self, fact: str, /, **details: Any) -> None:
        with suppress(OSError):
            self._writer.send(to_json({"fact": fact, **details}))

    def close(self) -> None:
        self.reader.close()
        self._writer.close()


def read_facts(reader: socket.socket) -> Iterator[dict[str, Any]]:
    """Everything that has been told since."""
    with suppress(BlockingIOError):
        while True:
            yield from_json(reader.recv(_LARGEST))
