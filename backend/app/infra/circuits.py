"""Circuit breakers for the hosts that we call: closed, open for a while after failures, half open for one call.

They stand in PostgreSQL, so that all processes know together, and any of them can show it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text

from app.infra.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

FAILURES = 5
"""In a row; then the circuit is open."""
PAUSE = 60.0
"""Seconds that it stays so before one call may try."""
SHOWN = 100
"""Hosts in the metrics at most: what we call is not ours to count."""

# Two callers after the pause: the second waits for the first's row lock and finds the pause begun anew.
_ENTER = Statement(
    text("""
    WITH let_through AS (
        UPDATE outgoing_circuits SET trying = true, open_until = now() + make_interval(secs => :pause)
        WHERE host = :host AND failures >= CAST(:failures AS integer) AND open_until <= now() RETURNING host)
    SELECT CAST(extract(epoch FROM open_until - now()) AS float8) AS seconds FROM outgoing_circuits
    WHERE host = :host AND failures >= CAST(:failures AS integer) AND NOT EXISTS (SELECT FROM let_through)
""")
)
_FAILED = Statement(
    text("""
    INSERT INTO outgoing_circuits (host, failures, open_until) VALUES (:host, 1, now() + make_interval(secs => :pause))
    ON CONFLICT (host) DO UPDATE SET failures = least(outgoing_circuits.failures + 1, 1000), trying = false,
        open_until = excluded.open_until, failed_at = now()
    RETURNING failures
""")
)
_SUCCEEDED = Statement(text("DELETE FROM outgoing_circuits WHERE host = :host RETURNING host"))
_ALL = Statement(
    text("""
    SELECT host, CASE WHEN failures < CAST(:failures AS integer) THEN 'closed'
        WHEN trying OR open_until <= now() THEN 'half_open' ELSE 'open' END AS state
    FROM outgoing_circuits ORDER BY failed_at DESC LIMIT CAST(:shown AS integer)
""")
)


class Circuit(NamedTuple):
    host: str
    state: str
    """`closed`, `open` or `half_open`."""


class Circuits:
    """What is known about the hosts. A host that never failed since it last answered is not listed: it is well."""

    def __init__(self, fetch: Callable[[Statement, Mapping[str, Any]], Awaitable[Sequence[Any]]]) -> None:
        self._fetch = fetch

    async def wait(self, host: str) -> float:
        """Seconds until the host may be called: 0 is now, which is said to one caller only while it is half open."""
        rows = await self._fetch(_ENTER, {"host": host, "failures": FAILURES, "pause": PAUSE})
        return min(PAUSE, max(1.0, rows[0]["seconds"])) if rows else 0.0

    async def succeeded(self, host: str) -> None:
        await self._fetch(_SUCCEEDED, {"host": host})

    async def failed(self, host: str) -> None:
        await self._fetch(_FAILED, {"host": host, "pause": PAUSE})

    async def all(self) -> list[Circuit]:
        """The hosts that failed last, at most a hundred."""
        rows = await self._fetch(_ALL, {"failures": FAILURES, "shown": SHOWN})
        return [Circuit(row["host"], row["state"]) for row in rows]
