"""Clients that nginx keeps away from the apis: slow ones, and those that hide a request in another."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator

import httpx2

from tests.faults import edge
from tests.faults.lifecycle_rows import agree, report_part
from tests.faults.load import Load
from tests.faults.product import Api
from tests.faults.trial import Trial, row

ELSEWHERE = ("127.0.0.2", 0)
"""Where the hostile come from: limits for each address must not hide what they do to others."""
_SECONDS = 14
_HEAD = b"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
_HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_SMUGGLED = {
    "a length and chunks": _HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "chunks and a length": _HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "two lengths": _HEAD + b"Content-Length: 0\r\nContent-Length: 47\r\n\r\n" + _HIDDEN,
    "a list of lengths": _HEAD + b"Content-Length: 0, 47\r\n\r\n" + _HIDDEN,
    "a space before the colon": _HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "chunks under another name": _HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "chunks twice": _HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _HIDDEN,
    "a folded line": _HEAD + b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n" + _HIDDEN,
    "a NUL": _HEAD + b"Content-Length: 0\x00\r\n\r\n" + _HIDDEN,
    "a chunk's length with more": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n" + _HIDDEN,
}


@contextlib.asynccontextmanager
async def _connection(
    client: httpx2.AsyncClient, address: tuple[str, int] | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """To the same place, over TLS, without the client."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", client.base_url.port, ssl=context, local_addr=address, limit=1 << 12
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@row(
    "slow-clients",
    "500 clients through nginx: heads that do not end, bodies and answers that move by a byte a second",
    "0 failed requests of others, their p99 <= 1.5x and + 20 ms of before; a head that does not end is cut <= 15 s after its connection",
    rounds=500,
    unit="slow clients",
)
async def slow(trial: Trial) -> None:
    edge.program()
    async with trial.world() as world:
        apis = [await world.api(), await world.api()]
        world.worker()
        async with edge.nginx(world, apis) as client:
            load = Load(world, [client], trial.rate)
            before = await load.run(5 if trial.quick else 20)
            async with load.running() as part, asyncio.TaskGroup() as group:
                for number in range(trial.rounds):
                    group.create_task(_WAYS[number % len(_WAYS)](trial, client))
                    await asyncio.sleep(0.03)  # that they come at once is another fault
            report_part(trial, "requests before", before)
            report_part(trial, "requests meanwhile", part)
            limit = 1.5 * trial.measures["requests before"].at(99) + 0.02
            trial.measures["requests meanwhile"].p99 = round(limit, 3)
            await agree(trial, world, load)


async def _endless_head(trial: Trial, client: httpx2.AsyncClient) -> None:
    async with _connection(client, ELSEWHERE) as (reader, writer):
        began = time.monotonic()
        writer.write(b"GET /tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        await asyncio.gather(_drip(reader, writer), reader.read(), return_exceptions=True)
        trial.measure("an endless head to its end", p100=15).append(time.monotonic() - began)


async def _slow_body(trial: Trial, client: httpx2.AsyncClient) -> None:
    """Until it is cut, or for as long as the heads; what an address may hold open is bounded by nginx (429)."""
    async with _connection(client, ELSEWHERE) as (reader, writer):
        writer.write(_HEAD + b"Content-Length: 1000\r\n\r\n{")
        await _drip(reader, writer)


async def _slow_reader(trial: Trial, client: httpx2.AsyncClient) -> None:
    async with _connection(client, ELSEWHERE) as (reader, writer):
        token = client.headers["Authorization"].encode()
        writer.write(b"GET /tasks?limit=200 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: " + token + b"\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(_SECONDS):
                if not await reader.read(1):
                    break
                await asyncio.sleep(1)


_WAYS = (_endless_head, _slow_body, _slow_reader)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte a second, until the other side ends it or it has been long enough."""
    with contextlib.suppress(OSError):
        for _ in range(_SECONDS):
            if reader.at_eof() or writer.is_closing():
                break
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(1)


@row(
    "smuggling",
    "requests through nginx that are one or two, depending on who reads them",
    "each is answered with 400, as a problem, and its connection closed; no api is asked for what was hidden",
    rounds=len(_SMUGGLED),
    unit="ways",
)
async def smuggled(trial: Trial) -> None:
    edge.program()
    async with trial.world() as world:
        api = await world.api()
        async with edge.nginx(world, [api]) as client:
            for name, request in list(_SMUGGLED.items())[: trial.rounds]:
                async with _connection(client) as (reader, writer):
                    writer.write(request)
                    said = await asyncio.wait_for(reader.read(), 10)  # to the end of the connection
                trial.check(said.startswith(b"HTTP/1.1 400 "), f"{name}: {said[:60]!r}")
                trial.check(b'"code":"bad_request"' in said, f"{name}: {said[-200:]!r}")
            # What comes after all of them stands in the log: so would anything before.
            await world.until(lambda: _last_is_logged(client, api))
            trial.check('"/hidden"' not in api.log, "an api was asked for what was hidden")
            trial.progress(trial.rounds)


async def _last_is_logged(client: httpx2.AsyncClient, api: Api) -> bool:
    await client.get("/tasks?limit=1")
    return '"path":"/tasks","route":"/tasks","status":200' in api.log
