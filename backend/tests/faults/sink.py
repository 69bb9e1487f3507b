"""What the world outside saw: calls of handlers with their keys. It may keep a handler waiting for its answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    key: str
    attempt: int
    pid: int
    what: str
    held: bool = False
    """Whether the handler is to be kept waiting for its answer, until `release`."""


class Sink:
    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._news = asyncio.Condition()
        self._held: list[tuple[Call, asyncio.Event]] = []
        self._free: set[str] = set()
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.release()
        await asyncio.gather(*self._conversations)

    async def began(self, key: object, attempt: int, times: int = 1) -> Call:
        """Waits until this attempt at the job has begun so often: more than once where an attempt was given back."""
        wanted = (str(key), attempt, "begin")
        async with self._news:
            while True:
                found = [call for call in self.calls if (call.key, call.attempt, call.what) == wanted]
                if len(found) >= times:
                    return found[-1]
                await self._news.wait()

    def release(self, attempt: int | None = None) -> None:
        """Lets those handlers go on that are held and in this attempt; without one all of them, and later attempts too."""
        for call, gate in self._held:
            if attempt in (None, call.attempt):
                gate.set()
            if attempt is None:
                self._free.add(call.key)
        self._held = [(call, gate) for call, gate in self._held if not gate.is_set()]

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(self._answer(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            call = Call(**json.loads(await reader.readline()))
            gate = asyncio.Event()
            if call.held and call.key not in self._free:
                self._held.append((call, gate))
            else:
                gate.set()
            async with self._news:
                self.calls.append(call)
                self._news.notify_all()
            await gate.wait()
            writer.write(b"ok\n")
            await writer.drain()
        except (OSError, ValueError):
            pass  # the caller died
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
