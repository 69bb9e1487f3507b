"""What a worker's processes tell of their work, over a socket that never keeps them waiting; and the way back.

Pool processes come and go, so the figures are kept by the reconciler beside them, in one place (`WorkerMetrics`).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from pydantic_core import from_json, to_json

_LARGEST = 4096


class Tell(Protocol):
    def __call__(self, fact: str, /, **details: Any) -> None: ...


def tell_nobody(_: str, /, **__: Any) -> None:
    """For a process that nobody watches."""


class Channel:
    """Between a worker and its reconciler, made before the pool forks. What does not fit in at once is lost: work goes first."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.near.setblocking(False)
        self.far.setblocking(False)

    def tell(self, fact: str, /, **details: Any) -> None:
        with suppress(OSError):
            self.near.send(to_json({"fact": fact, **details}))

    def close(self) -> None:
        self.near.close()
        self.far.close()


def read_facts(far: socket.socket) -> Iterator[dict[str, Any]]:
    """Everything that has been told since."""
    with suppress(BlockingIOError):
        while True:
            yield from_json(far.recv(_LARGEST))


def offer_work(far: socket.socket, claimable: Mapping[str, int]) -> None:
    """Tells the worker how many jobs may be claimed now, by queue. It replaces what it was told before."""
    with suppress(OSError):
        far.send(to_json(claimable))
