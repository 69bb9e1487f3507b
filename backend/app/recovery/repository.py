"""All SQL of backups: what they note, what they prove, what a restored database needs."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import text

from app.infra import migrations
from app.infra.statements import Statement
from app.recovery.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.recovery.vault import Manifest, Proof, StoredBytes

    Connection = asyncpg.Connection[asyncpg.Record]

LOCK = 7_236_418_056
"""The session advisory lock of those who add backups or delete them: a file that one finds, the other must not drop."""

_SCRATCH_LOCK = 7_236_418_057
"""Held from looking for abandoned scratch databases until one's own is connected to, and so is none."""
_ABANDONED = """
    SELECT datname FROM pg_database WHERE datname ~ '^taskapi_verify_' AND pg_has_role(datdba, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE pg_stat_activity.datname = pg_database.datname)
"""

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_FACTS = """
    SELECT to_regnamespace($1) IS NOT NULL AS restoring,
        (SELECT version_num FROM alembic_version) AS schema_revision,
        current_setting('server_version_num')::int / 10000 AS server,
        (SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            AND contype IN ('c', 'f', 'p', 'u')) AS constraints,
        (SELECT coalesce(max(id), 0) FROM changes) AS newest_change_id,
        statement_timestamp() AS taken_at
"""
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'taskapi%' AND pid <> pg_backend_pid()
"""
_DROP = """
    SET LOCAL lock_timeout = '10s';
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO public;
"""
_FILES = "SELECT storage_key, size, sha256 FROM stored_files ORDER BY storage_key"
_LISTED = 'CREATE TEMPORARY TABLE listed (key text COLLATE "C" PRIMARY KEY, size bigint, sha256 text)'

_WRONG = {
    "constraints or indexes are not valid": """
        SELECT (SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND NOT convalidated)
            + (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisvalid)
    """,
    "changes stand before an older version of what they changed": """
        SELECT count(*) FROM (SELECT version, lag(version) OVER (PARTITION BY resource, resource_id ORDER BY id) AS before
            FROM changes) AS pair WHERE version < before
    """,
    "tasks are of another version than their last change": """
        SELECT count(*) FROM tasks JOIN LATERAL (SELECT version FROM changes WHERE task_id = tasks.id AND resource = 'task'
            ORDER BY id DESC LIMIT 1) AS last ON last.version <> tasks.version
    """,
    "stored files are not as the backup lists them": """
        SELECT count(*) FROM listed FULL JOIN stored_files ON storage_key = key
        WHERE encode(stored_files.sha256, 'hex') IS DISTINCT FROM listed.sha256 OR stored_files.size IS DISTINCT FROM listed.size
    """,
}
"""What must not be found in a restored database: how many there are."""

_SETTLE = """
    -- Ids of transactions count anew on another server: these are before all of them, so every reader's snapshot sees them.
    UPDATE changes SET xact = '3';
    -- A sign-out of after the backup must not come undone.
    UPDATE sessions SET revoked_at = now() WHERE revoked_at IS NULL;
    DELETE FROM processes;
"""

LAST = Statement(
    text("""
    SELECT (SELECT max(taken_at) FROM backups) AS taken_at, verified_at, restore_seconds
    FROM (SELECT) AS nothing LEFT JOIN
        (SELECT verified_at, restore_seconds FROM backups WHERE verified_at IS NOT NULL ORDER BY verified_at DESC LIMIT 1) AS proven
        ON true
""")
)
_NOTE = """
    INSERT INTO backups (name, taken_at, size, verified_at, restore_seconds) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE SET verified_at = coalesce(excluded.verified_at, backups.verified_at),
        restore_seconds = coalesce(excluded.restore_seconds, backups.restore_seconds)
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A session of its own that may take as long as it takes."""
    own = {"application_name": "taskapi-backup", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=10, server_settings=own)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def take_turn(connection: Connection) -> None:
    """Held by the connection. Raises BackupError while somebody else makes or deletes backups."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        raise BackupError("Another backup is being made, or old ones are being deleted: try again later")


async def facts(connection: Connection) -> dict[str, Any]:
    """Those of `Manifest` that the database knows, `rows` among them. Raises BackupError where a restore has not ended."""
    found = dict(await connection.fetchrow(_FACTS, migrations.RESTORING) or {})
    if found.pop("restoring"):
        raise BackupError("The database holds half a backup: run taskapi backup restore --replace again")
    tables = [row["tablename"] for row in await connection.fetch(_TABLES)]
    found["rows"] = {name: await connection.fetchval(f'SELECT count(*) FROM "{name}"') for name in tables}  # noqa: S608
    return found


async def files(connection: Connection) -> AsyncIterator[bytes]:
    """A line for each stored file."""
    async for row in connection.cursor(_FILES, prefetch=1000):
        yield f"{row['storage_key']} {row['size']} {row['sha256'].hex()}\n".encode()


async def note(connection: Connection, manifest: Manifest, proof: Proof | None = None) -> None:
    proven = (proof.at, proof.restore_seconds) if proof else (None, None)
    await connection.execute(_NOTE, manifest.name, manifest.taken_at, manifest.size, *proven)


async def forget(connection: Connection, names: set[str]) -> None:
    await connection.execute("DELETE FROM backups WHERE name = ANY ($1)", list(names))


async def wrong(connection: Connection, manifest: Manifest, listed: AsyncIterator[StoredBytes]) -> list[str]:
    """What a restored database has that its backup does not say, a line each."""
    await connection.execute(_LISTED)
    await connection.copy_records_to_table("listed", records=listed)
    found = await facts(connection)
    said = manifest.model_dump()
    compared = ("schema_revision", "constraints", "newest_change_id")
    lines = [f"{name} is {found[name]}, it was {said[name]}" for name in compared if found[name] != said[name]]
    lines += [
        f"{table} has {found['rows'].get(table, 0)} rows, it had {said['rows'].get(table, 0)}"
        for table in sorted(found["rows"].keys() | said["rows"].keys())
        if found["rows"].get(table) != said["rows"].get(table)
    ]
    counted = {what: await connection.fetchval(query) for what, query in _WRONG.items()}
    return lines + [f"{count} {what}" for what, count in counted.items() if count]


@asynccontextmanager
async def scratch(url: str) -> AsyncIterator[str]:
    """The address of an empty database on the same server, dropped with the block, as are those that ended processes left.

    Raises BackupError.
    """
    name = f"taskapi_verify_{secrets.token_hex(4)}"
    address = f"{url.partition('?')[0].rsplit('/', 1)[0]}/{name}{''.join(url.partition('?')[1:])}"
    async with AsyncExitStack() as held:
        async with connected(url) as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", _SCRATCH_LOCK)
            await _drop_abandoned(connection)
            try:
                await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
            except asyncpg.InsufficientPrivilegeError:
                raise BackupError(
                    "The role of DATABASE_URL may not create the database to restore into: give BACKUP_SCRATCH_URL one that may"
                ) from None
            held.push_async_callback(_drop, url, name)
            await held.enter_async_context(connected(address))
        yield address


async def _drop_abandoned(connection: Connection) -> None:
    for row in await connection.fetch(_ABANDONED):
        # Of another installation, whose lock is another: it has just been connected to, or dropped.
        with suppress(asyncpg.ObjectInUseError, asyncpg.InvalidCatalogNameError):
            await connection.execute(f'DROP DATABASE "{row["datname"]}"')


async def _drop(url: str, name: str) -> None:
    async with connected(url) as connection:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def making_room(connection: Connection, *, replace: bool) -> str:
    """The SQL that the transaction of a restore begins with: it deletes what is there. Raises BackupError without `replace`.

    From that transaction's end until `finish`, no process of the service starts on the database.
    """
    full = bool(await connection.fetch(_TABLES))
    if full and not replace:
        raise BackupError("The database is not empty: --replace deletes what is in it")
    return (_DROP if full else "") + f"CREATE SCHEMA IF NOT EXISTS {migrations.RESTORING};"


async def require_silence(connection: Connection) -> None:
    """Raises BackupError while a process of the service is connected."""
    if count := await connection.fetchval(_OTHERS):
        raise BackupError(f"{count} connections of the service are open: stop its processes first")


async def settle(connection: Connection) -> None:
    """What a database needs that was moved in time, and perhaps to another server."""
    async with connection.transaction():
        await connection.execute(_SETTLE)
    await connection.execute("ANALYZE")


async def finish(connection: Connection) -> None:
    """Rows and files are in their places."""
    await connection.execute(f"DROP SCHEMA {migrations.RESTORING}")
