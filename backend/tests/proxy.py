"""A TCP proxy in front of a real server, to take the network away in each of the ways in which it goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Proxy:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._refusing = False
        self._generation = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._conversations: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        """Connections stay and new ones are accepted, but nothing is passed on: like a stopped process."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def black_hole(self) -> None:
        """The connections of this moment never pass a byte again, and nobody is told: a router forgot them. New ones work."""
        self._generation += 1

    def cut(self) -> None:
        """Every connection is reset, and new ones too, until `mend`."""
        self._refusing = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._refusing = False

    def slow_down(self, seconds: float) -> None:
        """Each piece of data waits so long, both ways."""
        self._delay = seconds

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._refusing = True
        self._flowing.set()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(self._connect(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        generation = self._generation
        with contextlib.suppress(OSError):
            async with self._open(writer):
                if self._refusing:
                    return
                await self._flowing.wait()
                above_reader, above_writer = await asyncio.open_connection(*self._target)
                async with self._open(above_writer):
                    await asyncio.gather(
                        self._pass(reader, above_writer, generation), self._pass(above_reader, writer, generation)
                    )

    @contextlib.asynccontextmanager
    async def _open(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, generation: int) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flowing.wait()
                if generation == self._generation:
                    writer.write(data)
                    await writer.drain()
        if generation == self._generation:  # else the other side does not hear that this one has closed
            writer.close()


@contextlib.asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
