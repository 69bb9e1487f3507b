"""The load: connections that send prepared requests one after another, in a process of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_LATE_SECONDS = 10
"""How long after its end a burst waits for its last answers."""


@dataclass
class Burst:
    """What one burst saw. `failures`: answers that are not 2xx by status, 0 for broken connections."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def p99(self) -> float:
        """In milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000 if ordered else 0.0


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Sequence[bytes], rng: random.Random, until: float, burst: Burst) -> None:
        self._requests = requests
        self._rng = rng
        self._until = until
        self._burst = burst
        self._received = b""
        self._expected = 0
        self._sent_at = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        self._received, self._expected = b"", 0
        self._sent_at = time.perf_counter()
        if self._sent_at >= self._until:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._transport.write(self._rng.choice(self._requests))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected:
            end = self._received.find(_HEAD_END)
            if end < 0:
                return
            at = self._received.index(_LENGTH, 0, end + 2) + len(_LENGTH)
            self._expected = end + 4 + int(self._received[at : self._received.index(b"\r", at)])
        if len(self._received) < self._expected:
            return
        status = int(self._received[9:12])
        if 200 <= status < 300:
            self._burst.latencies.append(time.perf_counter() - self._sent_at)
        else:
            self._failed(status)
        self._next()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.ended.done():
            self._failed(0)
            self.ended.set_result(None)

    def _failed(self, status: int) -> None:
        self._burst.failures[status] = self._burst.failures.get(status, 0) + 1


def burst(port: int, requests: Sequence[bytes], seconds: float, connections: int, seed: int) -> Burst:
    """Sends random ones of `requests` for so many seconds, each connection as fast as it is answered."""
    return uvloop.run(_burst(port, requests, seconds, connections, seed))


async def _burst(port: int, requests: Sequence[bytes], seconds: float, connections: int, seed: int) -> Burst:
    result = Burst()
    rng = random.Random(seed)
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    ended = []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: _Connection(requests, rng, started + seconds, result), "127.0.0.1", port
        )
        ended.append(connection.ended)
    await asyncio.wait_for(asyncio.gather(*ended), seconds + _LATE_SECONDS)
    result.seconds = time.perf_counter() - started
    return result
