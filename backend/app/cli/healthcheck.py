"""`taskapi healthcheck` of an api. It is run every few seconds, and so imports next to nothing."""

from __future__ import annotations

import asyncio
import sys

import typer

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
