"""`taskapi healthcheck`, `worker --check` and `beat --check`. They are run every few seconds, and so import what they need only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from app.health.stuck import Connection
    from app.infra.settings import Settings

_TIMEOUT = 5
_REQUEST = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def check_api(port: int) -> None:
    """Exits 1 unless `/health/ready` on this port of the loopback address answers 200; prints what it says."""
    try:
        head, _, body = asyncio.run(_readiness(port)).partition(b"\r\n\r\n")
    except (OSError, TimeoutError) as error:
        sys.stderr.write(f"api: does not answer on port {port} ({type(error).__name__})\n")
        raise typer.Exit(1) from None
    sys.stdout.write(body.decode(errors="replace") + "\n")
    raise typer.Exit(0 if head.startswith(b"HTTP/1.1 200 ") else 1)


async def _readiness(port: int) -> bytes:
    async with asyncio.timeout(_TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_REQUEST)
            return await reader.read()
        finally:
            writer.close()


def check_worker() -> None:
    """Exits 1 when jobs wait and the workers of this host do nothing."""
    from app.health.stuck import worker_fault

    _check("worker", worker_fault)


def check_beat() -> None:
    """Exits 1 when no beat of this host has looked for slots for a minute."""
    from app.health.stuck import beat_fault

    _check("beat", beat_fault)


def _check(name: str, fault_of: Callable[[Connection], Awaitable[str | None]]) -> None:
    from app.cli.configuration import read_settings

    settings = read_settings()
    try:
        fault = asyncio.run(_ask(fault_of, settings))
    except Exception as error:  # noqa: BLE001  a restart would not bring the database back
        sys.stdout.write(f"{name}: not known, the database does not answer ({type(error).__name__})\n")
        return
    if fault is not None:
        sys.stderr.write(f"{name}: {fault}\n")
        raise typer.Exit(1)
    sys.stdout.write(f"{name}: works\n")


async def _ask(question: Callable[[Connection], Awaitable[str | None]], settings: Settings) -> str | None:
    import asyncpg

    async with asyncio.timeout(settings.database_statement_timeout):
        connection = await asyncpg.connect(
            settings.driver_url, server_settings={"application_name": "taskapi-check", "jit": "off"}
        )
        try:
            return await question(connection)
        finally:
            connection.terminate()
