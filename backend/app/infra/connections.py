"""The connections that single statements run on.

Such a statement leaves no state behind, so its connection goes to the next one as it is. The driver's own pool starts a
task and makes a proxy for each use: 55 of the 95 us of CPU that a short read took through it (docs/adr/0002).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_CUT = (asyncpg.AdminShutdownError, asyncpg.CrashShutdownError, asyncpg.InternalClientError)
"""The server has ended the session, or is dead: the last words arrive before the connection shows as closed.

The driver's internal error is what the next statement gets on one that was cut in the middle of an answer.
"""
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    ConnectionError,
    *_CUT,
)
"""What the driver raises when the connection is gone (not when a statement is wrong)."""
_IDLE_SECONDS = 1800
"""After that long without use a connection is opened anew: a router between may have forgotten it."""


def waiting_at(queue: asyncio.Queue[Any]) -> int:
    """How many tasks wait for an item."""
    getters: Any = queue._getters  # type: ignore[attr-defined]  # noqa: SLF001  it does not say it
    return sum(not getter.done() for getter in getters)


class Connections:
    """Up to `size` connections, opened as they are needed; whoever finds all of them taken waits its turn."""

    def __init__(self, size: int, connect: Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]]) -> None:
        self.size = size
        self._connect = connect
        self._closed = False
        # The one used last comes first: under little load the others stay idle, and are not opened at all.
        self._places: asyncio.LifoQueue[_Place] = asyncio.LifoQueue()
        for _ in range(size):
            self._places.put_nowait(_Place())

    @property
    def taken(self) -> int:
        return self.size - self._places.qsize()

    @property
    def waiting(self) -> int:
        return waiting_at(self._places)

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> list[Any]:
        """The rows of one statement. Raises what the driver raises; a statement that is given up takes its connection along."""
        place = await self._places.get()
        try:
            connection = place.connection
            now = asyncio.get_running_loop().time()
            if connection is None or connection.is_closed() or now - place.used_at > _IDLE_SECONDS:
                place.drop()
                if self._closed:
                    raise asyncpg.InterfaceError("the connections are closed")
                connection = place.connection = await self._connect()
            place.used_at = now
            return await connection.fetch(sql, *arguments)
        except (asyncio.CancelledError, TimeoutError, *_CUT):
            # By the deadline, by the client, or because the server is silent: to keep it would be to wait for the answer.
            place.drop()
            raise
        finally:
            self._places.put_nowait(place)

    async def close(self) -> None:
        """Waits for the statements under way, then says goodbye. Cancel it to leave without."""
        self._closed = True
        places: list[_Place] = []
        try:
            while len(places) < self.size:
                places.append(await self._places.get())
                connection = places[-1].connection
                if connection is not None:
                    await connection.close()
        finally:
            for place in places:
                place.drop()
                self._places.put_nowait(place)


class _Place:
    __slots__ = ("connection", "used_at")

    def __init__(self) -> None:
        self.connection: asyncpg.Connection[asyncpg.Record] | None = None
        self.used_at = 0.0

    def drop(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.terminate()
