"""What `/metrics` shows of the whole installation: read from the database, by whichever api is asked."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Protocol

import structlog
from prometheus_client import Gauge
from sqlalchemy import text

from app.changes.figures import ChangeFigures
from app.infra.statements import Statement
from app.worker.figures import JobFigures
from app.worker.line import Line

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from app.infra.settings import Settings
    from app.worker.line import Fetch

log = structlog.get_logger(__name__)

_FRESH_SECONDS = 5.0
_TIMEOUT = 2.0

# An ordinary role sees that there are other roles' connections, not what they do.
_SERVER = Statement(
    text("""
    SELECT CAST(current_setting('max_connections') AS integer) AS max_connections,
        count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'idle') AS idle,
        count(*) FILTER (WHERE starts_with(state, 'idle in transaction')) AS in_transaction, count(*) AS connections,
        coalesce(CAST(extract(epoch FROM now() - min(xact_start)) AS float8), 0) AS oldest_transaction,
        pg_database_size(current_database()) AS size
    FROM pg_stat_activity WHERE backend_type = 'client backend'
""")
)
_TABLES = Statement(text("SELECT relname AS name, n_live_tup AS rows, n_dead_tup AS dead FROM pg_stat_user_tables"))


class _Part(Protocol):
    async def read(self, fetch: Fetch) -> None: ...

    def clear(self) -> None: ...


class Figures:
    """Collectors in `registry`, brought up to date before they are shown, at most every five seconds."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._line = Line(settings, "figures")
        self._one = asyncio.Lock()
        self._read = -_FRESH_SECONDS
        self._parts: list[_Part] = [JobFigures(registry), ChangeFigures(registry), _PostgresFigures(registry)]

    async def refresh(self) -> None:
        """A database that does not answer leaves the figures out: old ones would say that all is well."""
        async with self._one:
            if time.monotonic() < self._read + _FRESH_SECONDS:
                return
            self._read = time.monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    for part in self._parts:
                        await part.read(self._line.fetch)
            except Exception as error:  # noqa: BLE001  the other figures are wanted all the more
                log.warning("figures_failed", reason=type(error).__name__)
                for part in self._parts:
                    part.clear()

    def close(self) -> None:
        self._line.close()


class _PostgresFigures:
    """The server, as a client sees it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Gauge(
            "taskapi_postgres_connections",
            "Client connections of the server; other: of roles that ours may not look at.",
            ("state",),
            registry=registry,
        )
        self._tables = {
            "rows": Gauge("taskapi_postgres_rows", "Rows, as estimated.", ("table",), registry=registry),
            "dead": Gauge(
                "taskapi_postgres_dead_rows", "Rows that wait for vacuum, as estimated.", ("table",), registry=registry
            ),
        }
        self._single = {
            name: Gauge(f"taskapi_postgres_{figure}", about, (), registry=registry)
            for name, figure, about in (
                ("max_connections", "max_connections", "Connections that the server allows."),
                ("oldest_transaction", "oldest_transaction_seconds", "Age of the oldest transaction."),
                ("size", "size_bytes", "Size of the database."),
            )
        }

    async def read(self, fetch: Fetch) -> None:
        server = (await fetch(_SERVER, {}))[0]
        states = {state: server[state] for state in ("active", "idle", "in_transaction")}
        for state, count in {**states, "other": server["connections"] - sum(states.values())}.items():
            self._connections.labels(state).set(count)
        for name, gauge in self._single.items():
            gauge.set(server[name])
        for table in await fetch(_TABLES, {}):
            for name, gauge in self._tables.items():
                gauge.labels(table["name"]).set(table[name])

    def clear(self) -> None:
        for gauge in (self._connections, *self._tables.values()):
            gauge.clear()
        for gauge in self._single.values():  # one without labels cannot be left out
            gauge.set(math.nan)
