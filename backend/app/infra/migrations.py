"""The schema's version: what this code needs, what the database has, and the one runner that brings it there."""

from __future__ import annotations

import asyncio
import io
import os
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import pool, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.infra.database import make_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from alembic.script import Script

    from app.infra.settings import Settings

BACKEND = Path(__file__).resolve().parents[2]
VERSIONS = [BACKEND / "migrations" / "versions"]
"""Where the revisions of this release are."""
LOCK = 7_236_418_055
"""The session advisory lock that only one migrator at a time holds; any fixed number does."""
LOCK_TIMEOUT_SECONDS = 3
"""How long a revision waits for a table: whoever comes behind it waits too, so it gives up early instead."""
STATEMENT_TIMEOUT_SECONDS = 900
RESTORING = "restoring"
"""An empty schema of this name stands in a database from when a backup's rows are in until its files are."""
_POLL_SECONDS = 0.2
_WAIT_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"


class MigrationError(Exception):
    """The schema is not, or could not be made, what is needed; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a database's schema stands to this release. `served`: newer, and this release still runs on it."""

    state: Literal["head", "behind", "served", "ahead", "restoring"]
    line: str
    """For the operator, with what to do."""

    @property
    def usable(self) -> bool:
        return self.state in {"head", "served"}


def _config(output: TextIO | None = None, **attributes: Any) -> Config:
    config = Config(str(BACKEND / "alembic.ini"), output_buffer=output)
    config.set_main_option("version_locations", os.pathsep.join(map(str, VERSIONS)))
    config.attributes.update(attributes)
    return config


def revisions() -> list[Script]:
    """Every revision that this code has heard of, oldest first."""
    return list(ScriptDirectory.from_config(_config()).walk_revisions())[::-1]


def head() -> str:
    """The revision that this code needs."""
    known = revisions()
    if not known:
        raise MigrationError("There are no migrations in this release")
    return known[-1].revision


def served_by(script: Script) -> str:
    """The head of the oldest release that still runs on this revision, which says so as `serves`; else its own."""
    return str(getattr(script.module, "serves", script.revision))


def sql(since: str = "base", to: str = "head") -> str:
    """What the runner would execute after the revision `since` up to `to`, made without a database."""
    written = io.StringIO()
    command.upgrade(_config(written), f"{since}:{to}", sql=True)
    return written.getvalue()


def note_applied(context: MigrationContext, step: MigrationInfo) -> None:
    """In the transaction of a revision: leaves word for older releases, who have never heard of it."""
    reached = {script.revision: script for script in revisions()}
    word = "".join(f"'{served_by(reached[revision])}'" for revision in step.destination_revision_ids)
    context.execute(f"COMMENT ON TABLE alembic_version IS {word or 'NULL'}")


async def read(connection: AsyncConnection) -> tuple[str | None, str | None]:
    """The database's revision and the oldest that it serves; two None where nothing was migrated yet.

    `RESTORING` in place of the revision while a restore is under way, and where it has not ended.
    """
    query = text("SELECT version_num, obj_description('alembic_version'::regclass) FROM alembic_version")
    try:
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
        row = (await connection.execute(query)).one_or_none()
    except DBAPIError as error:
        await connection.rollback()
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
            return RESTORING, None  # until its rows are in, a restore holds what they replace
        if not isinstance(error, ProgrammingError):
            raise
        row = None
    # After the revision: what that has waited for may have been a restore.
    if await connection.scalar(text(f"SELECT to_regnamespace('{RESTORING}') IS NOT NULL")):
        return RESTORING, None
    return (row[0], row[1]) if row is not None else (None, None)


def judge(present: str | None, serves: str | None) -> Standing:
    """What `read` found, against what this release needs. Reads the revisions' files."""
    known = [script.revision for script in revisions()]
    needed = known[-1]
    if present == needed:
        return Standing("head", f"the schema is at {present}")
    if present == RESTORING:
        todo = "wait for taskapi backup restore, or run it again with --replace if it has ended"
        return Standing("restoring", f"a backup is not restored to its end: {todo}")
    if present is None or present in known:
        return Standing(
            "behind", f"the schema is at {present or 'nothing'}, this release needs {needed}: run taskapi migrate"
        )
    if serves in known:
        return Standing(
            "served", f"the schema ({present}) is newer than this release ({needed}), which still runs on it"
        )
    return Standing("ahead", f"the schema ({present}) is newer than this release ({needed}): deploy the newer release")


async def standing(database_url: str) -> Standing:
    """Asks on a connection of its own. Raises OSError and DBAPIError where the database does not answer."""
    async with _connection(database_url) as connection:
        return judge(*await read(connection))


async def wait_usable(settings: Settings) -> None:
    """Returns when the schema serves this release. Raises MigrationError when it does not within `startup_timeout`."""
    until = time.monotonic() + settings.startup_timeout
    while True:
        try:
            found = await standing(str(settings.database_url))
        except (OSError, DBAPIError) as error:
            line = f"the database does not answer: {_first_line(error)}"
        else:
            if found.usable:
                return
            line = found.line
        if time.monotonic() + _WAIT_SECONDS > until:
            raise MigrationError(line)
        await asyncio.sleep(_WAIT_SECONDS)


async def upgrade(database_url: str, *, lock_timeout: float = 60, say: Callable[[str], None] = print) -> None:
    """Brings the schema to the head; a newer one that serves this release stays as it is.

    Only one migrator at a time: waits at most `lock_timeout` seconds for another. Each revision is a transaction of its
    own. Raises MigrationError.
    """
    async with _alone(database_url, lock_timeout, say) as connection:
        # Again, now that nobody else migrates: the one waited for may have done it.
        present, serves = await read(connection)
        found = judge(present, serves)
        if found.state in {"ahead", "restoring"}:
            raise MigrationError(found.line)
        if found.usable:
            say(found.line)
            return
        say(f"migrating from {present or 'nothing'} to {head()}")
        await _move(connection, lambda config: command.upgrade(config, "head"), say)


async def downgrade(
    database_url: str, revision: str, *, lock_timeout: float = 60, say: Callable[[str], None] = print
) -> None:
    """Takes the schema back to an earlier revision (`base`: to nothing), with the data that only newer ones hold.

    Raises MigrationError.
    """
    async with _alone(database_url, lock_timeout, say) as connection:
        present, _ = await read(connection)
        known = [script.revision for script in revisions()]
        if present not in known:
            raise MigrationError(f"This release does not know {present or 'an empty schema'}: use the one that made it")
        if revision != "base" and revision not in known[: known.index(present) + 1]:
            raise MigrationError(f"{revision} is no earlier revision of {present}")
        say(f"taking back from {present} to {revision}")
        await _move(connection, lambda config: command.downgrade(config, revision), say)


async def _move(connection: AsyncConnection, act: Callable[[Config], None], say: Callable[[str], None]) -> None:
    began = time.monotonic()
    reached = (await read(connection))[0] or "nothing"

    def tell(step: MigrationInfo) -> None:
        nonlocal began, reached
        reached = step.destination_revision_ids[0] if step.destination_revision_ids else "nothing"
        what = step.up_revision_id if step.is_upgrade else f"{step.up_revision_id} taken back"
        say(f"{what} ({time.monotonic() - began:.2f} s)")
        began = time.monotonic()

    for name, seconds in (("lock_timeout", LOCK_TIMEOUT_SECONDS), ("statement_timeout", STATEMENT_TIMEOUT_SECONDS)):
        await connection.execute(text(f"SET {name} = '{seconds}s'"))
    await connection.commit()
    try:
        await connection.run_sync(lambda sync: act(_config(connection=sync, applied=tell)))
        await connection.commit()
    except DBAPIError as error:
        waited = getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE
        hint = f": a long transaction holds a table for more than {LOCK_TIMEOUT_SECONDS} s; try again" if waited else ""
        raise MigrationError(f"The schema is left at {reached}{hint} ({_first_line(error)})") from error


@asynccontextmanager
async def _connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    options = {"timeout": 5, "server_settings": {"application_name": "taskapi-migrate"}}
    engine = make_engine(database_url, options, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


@asynccontextmanager
async def _alone(database_url: str, seconds: float, say: Callable[[str], None]) -> AsyncIterator[AsyncConnection]:
    """A connection that holds the migrators' lock; the server lets go of it when the connection or its client is gone."""
    async with _connection(database_url) as connection:
        until = time.monotonic() + seconds
        told = False
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
            await connection.commit()
            if time.monotonic() > until:
                raise MigrationError(f"Another migration has held the lock for more than {seconds:.0f} s")
            if not told:
                say("another migration is running; waiting for it")
                told = True
            await asyncio.sleep(_POLL_SECONDS)
        await connection.commit()
        yield connection


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__
