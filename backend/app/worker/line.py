"""One connection for the machinery's own short statements, opened when needed and again after it was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg

from app.infra.database import is_lost_or_busy
from app.infra.settings import Settings
from app.infra.statements import Statement

Fetch = Callable[[Statement, Mapping[str, Any]], Awaitable[Sequence[Any]]]
"""What runs one statement by itself and returns its rows, each readable by column name."""


_AGAIN = 0.2
"""Seconds between two tries."""


async def insist(
    fetch: Fetch, statement: Statement, params: Mapping[str, Any], until: Callable[[], float]
) -> Sequence[Any]:
    """What `fetch` returns, tried again while the database is lost or busy, and at most to `until` on `time.monotonic`.

    For statements of which it is harmless that an earlier try took effect.
    """
    while True:
        try:
            return await fetch(statement, params)
        except Exception as error:
            if not is_lost_or_busy(error) or time.monotonic() >= until():
                raise
        await asyncio.sleep(_AGAIN)


class Line:
    """Beside the pools on purpose: a handler that holds every connection cannot keep its own heartbeat waiting.

    For one event loop, one statement at a time. `planner` holds settings of PostgreSQL for its statements.
    """

    def __init__(self, settings: Settings, name: str, **planner: str) -> None:
        self._url = settings.driver_url
        self._timeout = settings.database_statement_timeout
        self._server_settings = {"application_name": f"taskapi-{name}", "timezone": "UTC", "jit": "off", **planner}
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def fetch(self, statement: Statement, params: Mapping[str, Any]) -> list[asyncpg.Record]:
        """The rows of one autocommitted statement, its effect not known when this raises."""
        # One pass of the loop, so that an end of the connection that arrived while it stood still is seen here.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self._timeout):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(self._url, server_settings=self._server_settings)
                return await self._connection.fetch(statement.sql, *statement.arguments(params))
        except BaseException:
            # Whatever it was, what comes next starts on a fresh connection: this one may be half-open.
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
