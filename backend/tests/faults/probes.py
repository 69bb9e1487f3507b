"""A prober as an orchestrator is one: asks at a fixed rate, from a process of its own, so that it measures nobody's load but the server's.

`python -m tests.faults.probes PORT RATE PATH...` asks until it is told to end, then prints `[path, status, seconds]` of each answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from tests.faults.product import Api
from tests.faults.world import BACKEND

_CONNECTIONS = 8


@dataclass
class Probed:
    """Filled when the probing has ended: for each path the seconds that answers took, and all statuses (0: no answer)."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[str, set[int]] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def probing(api: Api, rate: float, paths: Sequence[str]) -> AsyncIterator[Probed]:
    """Asks for these paths in turn for as long as the block."""
    command = [sys.executable, "-P", "-m", "tests.faults.probes", str(api.client.base_url.port), str(rate), *paths]
    process = await asyncio.create_subprocess_exec(
        *command, env={"PYTHONPATH": str(BACKEND)}, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    probed = Probed()
    assert process.stdout is not None
    await process.stdout.readline()  # it has begun
    try:
        yield probed
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = await process.communicate()
    for path, status, seconds in json.loads(said):
        probed.seconds.setdefault(path, []).append(seconds)
        probed.statuses.setdefault(path, set()).add(status)


async def _ask(port: int, path: str, answers: list[tuple[str, int, float]], free: asyncio.Queue[Connection]) -> None:
    connection = await free.get()
    began = time.perf_counter()
    try:
        status, _ = await connection.get(port, path)
    except (OSError, asyncio.IncompleteReadError):
        status = 0
        connection.drop()
    answers.append((path, status, time.perf_counter() - began))
    free.put_nowait(connection)


class Connection:
    """Costs next to nothing, so that hundreds of them measure the server and not themselves."""

    def __init__(self) -> None:
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, port: int, path: str, authorization: str = "") -> tuple[int, bytes]:
        """The status, and the head of the answer in small letters."""
        reader, writer = self._open = self._open or await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if found := re.search(rb"content-length: (\d+)", head):
            await reader.readexactly(int(found[1]))
        if b"\r\nconnection: close" in head:
            self.drop()
        return int(head.split(b" ", 2)[1]), head

    def drop(self) -> None:
        if self._open is not None:
            self._open[1].close()
        self._open = None


async def _main(port: int, rate: float, paths: Sequence[str]) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(Connection())
    answers: list[tuple[str, int, float]] = []
    asked: set[asyncio.Task[None]] = set()
    print(flush=True)
    began = time.monotonic()
    while not over.is_set():
        number = len(answers) + len(asked)
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        one = asyncio.create_task(_ask(port, paths[number % len(paths)], answers, free))
        asked.add(one)
        one.add_done_callback(asked.discard)
    await asyncio.gather(*asked)
    print(json.dumps(answers))


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
