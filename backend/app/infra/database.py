"""PostgreSQL: a pool for transactions and one for single statements."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic_core import from_json, to_json
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from app.infra import tracing
from app.infra.connections import LOST, Connections, waiting_at
from app.kit.errors import Unavailable
from app.kit.lifecycle import Check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from app.infra.settings import Settings
    from app.infra.statements import Statement

BUSY = (
    asyncpg.InsufficientResourcesError,  # connections, memory, room on the disk
    asyncpg.ReadOnlySQLTransactionError,  # a standby: the primary is being changed
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # a deadlock: the other one went through, a repeat will too
)


def _give_up_if_silent(context: ExceptionContext) -> None:
    # The driver's own timeout: the network has lost this connection without a word. Never into the pool with it.
    if isinstance(context.original_exception, TimeoutError):
        context.is_disconnect = True


class _Connection(asyncpg.Connection):
    """One of the engine's connections: where a statement of its was given up, it is dropped without a farewell."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's own signature
        # Only SQLAlchemy's invalidation sets a timeout (2 s): a frozen server would take all of it.
        if timeout is None:
            await super().close()
        else:
            self.terminate()


async def _json_codecs(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=_as_text, decoder=from_json, schema="pg_catalog")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(value).decode()


def make_engine(url: str, connect: Mapping[str, Any], **options: Any) -> AsyncEngine:
    """An engine on connections that the driver opens by itself, with `connect` for its further arguments.

    It reads the TLS parameters of an address as libpq does; SQLAlchemy would hand them on as arguments that it has not.
    """
    address = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    return create_async_engine(url, async_creator=lambda: asyncpg.connect(address, **connect), **options)


class Database:
    """The process's door to PostgreSQL. Start it before use; a request holds at most one of its connections."""

    name = "database"
    stop_timeout = 5.0

    def __init__(self, settings: Settings, *, silence: float | None = None) -> None:
        """`silence`: seconds after which a statement without an answer is given up together with its connection, for
        callers who have no deadline of their own; above `database_statement_timeout`.
        """
        self._settings = settings
        self._silence = silence
        self.start_timeout = settings.startup_timeout
        self._server_settings = {
            "application_name": "taskapi",
            "timezone": "UTC",
            "statement_timeout": str(int(settings.database_statement_timeout * 1000)),
            "idle_in_transaction_session_timeout": "60000",
            "jit": "off",
            # Below pg_trgm's own 0.6: a search forgives a swapped or missing letter in a short word.
            "pg_trgm.word_similarity_threshold": "0.4",
        }
        self.engine = make_engine(
            str(settings.database_url),
            {
                "timeout": 3,
                "command_timeout": self._silence,
                "server_settings": self._server_settings,
                "connection_class": _Connection,
            },
            pool_size=settings.database_session_pool_size,
            max_overflow=0,
            pool_timeout=2,
            pool_recycle=1800,
            pool_use_lifo=True,
            hide_parameters=True,  # they would stand in the text of every error, and so in the log
            json_serializer=lambda value: to_json(value).decode(),
            json_deserializer=from_json,
        )
        event.listen(self.engine.sync_engine, "handle_error", _give_up_if_silent)
        self._traced = settings.otel_exporter_otlp_endpoint is not None
        if self._traced:
            tracing.watch_engine(self.engine.sync_engine)
        self.session_class: type[Session] = type("Session", (Session,), {})
        """The class of this database's own (inner) sessions, for those who listen to their events."""
        self.listeners: list[Callable[[dict[Any, Any]], None]] = []
        """Called after each commit with the `info` of its session, or of its `Work` where that had none."""
        event.listen(self.session_class, "after_commit", self._committed)
        self._sessions = async_sessionmaker(
            self.engine, expire_on_commit=False, autoflush=False, sync_session_class=self.session_class
        )
        self._singles: Connections | None = None

    async def start(self) -> None:
        """Opens the pools and asks for the first answers. Raises what the driver raises; the manager retries."""
        if self._singles is None:
            self._singles = Connections(self._settings.database_pool_size, self._connect)
        await self._singles.fetch("SELECT 1", ())
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def stop(self) -> None:
        singles, self._singles = self._singles, None
        if singles is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.stop_timeout / 2):
                    await singles.close()
        await self.engine.dispose()

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await asyncpg.connect(
            self._settings.driver_url,
            timeout=3,
            command_timeout=self._silence,
            server_settings=self._server_settings,
        )
        try:
            await _json_codecs(connection)
            if self._traced:
                tracing.watch_connection(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def checks(self) -> list[Check]:
        return []

    def tell(self, info: dict[Any, Any]) -> None:
        """Something with this `info` has committed."""
        for listener in self.listeners:
            listener(info)

    def _committed(self, session: Session) -> None:
        # A savepoint's release is announced as a commit too.
        if session.info and not session.in_nested_transaction():
            self.tell(session.info)

    def session(self) -> AsyncSession:
        """A session on the transaction pool; it takes a connection at its first statement. The caller commits."""
        return self._sessions()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that commits when the block ends and rolls back when it raises."""
        async with self._sessions() as session, session.begin():
            yield session

    @asynccontextmanager
    async def snapshot(self, seconds: float) -> AsyncIterator[AsyncConnection]:
        """A read-only transaction that sees one moment, whatever commits meanwhile; a statement in it may take `seconds`."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            await connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
            yield connection

    async def fetch(
        self,
        statement: Statement,
        params: Mapping[str, Any],
        *,
        session: AsyncSession | None = None,
        retry: bool = False,
    ) -> list[Any]:
        """The rows of one statement, each readable by column name.

        Without a `session` it runs alone and commits itself; with one it is part of that transaction. `retry` repeats
        it once when the connection turns out to be lost: for reads only.
        """
        if session is not None:
            return list((await session.execute(statement.executable, params)).mappings())
        if not self._settings.database_compiled_statements:
            return await self._fetch_ordinarily(statement, params)
        try:
            return await self._fetch_compiled(statement, params)
        except LOST:
            if not retry:
                raise
            return await self._fetch_compiled(statement, params)

    async def _fetch_compiled(self, statement: Statement, params: Mapping[str, Any]) -> list[Any]:
        if self._singles is None:
            raise Unavailable("The database is not connected yet")
        return await self._singles.fetch(statement.sql, statement.arguments(params))

    async def _fetch_ordinarily(self, statement: Statement, params: Mapping[str, Any]) -> list[Any]:
        async with self.engine.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            return list((await autocommit.execute(statement.executable, dict(params))).mappings())

    def pool_figures(self) -> dict[str, int]:
        """Connections of both pools: their limits, how many are taken, and how many callers wait for one."""
        sessions: Any = self.engine.pool
        singles = self._singles
        return {
            "session_pool_size": self._settings.database_session_pool_size,
            "session_pool_checked_out": sessions.checkedout(),
            "session_pool_waiting": waiting_at(sessions._pool._queue),  # noqa: SLF001  the pool does not say it
            "pool_size": self._settings.database_pool_size,
            "pool_checked_out": singles.taken if singles is not None else 0,
            "pool_waiting": singles.waiting if singles is not None else 0,
        }


def is_lost_or_busy(error: BaseException) -> bool:
    """Whether the database could not be reached or could not answer in time: 503, not a fault of the request."""
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        return error.connection_invalidated or (cause is not None and is_lost_or_busy(cause))
    return isinstance(error, (*LOST, *BUSY, TimeoutError, PoolTimeoutError))


def violated(error: BaseException) -> str | None:
    """The name of the constraint that a statement broke; None for any other error."""
    if isinstance(error, DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None
        return violated(cause) if cause is not None else None
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return str(error.constraint_name)
    return None
