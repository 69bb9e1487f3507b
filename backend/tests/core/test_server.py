"""Real api processes, real signals, raw sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx2
import pytest

from app.infra import migrations
from tests.processes import Process, running
from tests.proxy import proxy_to

Serve = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def serve(database_url: str, redis_url: str) -> Serve:
    def start(**settings: str) -> AbstractAsyncContextManager[Process]:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PORT": "0",
            "DRAIN_SECONDS": "0.5",
            **settings,
        }
        return running(["app.cli", "serve"], environment)

    return start


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def get(process: Process, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{await process.port()}") as client:
        return await client.get(path)


async def raw(process: Process, request: bytes) -> bytes:
    """All that the server sends until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", await process.port())
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


async def test_after_sigterm_it_is_not_ready_but_answers_and_ends_with_code_zero(serve: Serve) -> None:
    async with serve(DRAIN_SECONDS="2") as api:
        await api.event("started")
        assert (await get(api, "/health/ready")).status_code == 200
        api.send(signal.SIGTERM)
        await api.event("draining")
        answer = await get(api, "/health/ready")
        assert answer.status_code == 503
        assert answer.headers["connection"] == "close"
        assert answer.json()["failed_checks"] == ["lifecycle"]
        assert (await get(api, "/openapi.json")).status_code == 200
        assert await api.exit_code() == 0
        assert [event["component"] for event in api.events if event["event"] == "component_stopped"] == [
            "health", "log_level", "passwords", "relay", "redis", "schema", "database", "loop_lag",
        ]  # fmt: skip


async def test_no_request_on_an_open_connection_is_cut_by_a_stop(serve: Serve) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    async def client(port: int) -> str:
        """Asks over one connection until it is told to close; how that ended."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                if b"connection: close" in head.lower():
                    return "told"
        except (asyncio.IncompleteReadError, OSError):
            return "cut"
        finally:
            writer.close()

    async with serve() as api:
        await api.event("started")
        port = await api.port()
        clients = [asyncio.create_task(client(port)) for _ in range(20)]
        await get(api, "/health/live")
        api.send(signal.SIGTERM)
        assert await asyncio.gather(*clients) == ["told"] * 20
        assert await api.exit_code() == 0


async def test_the_same_signal_again_ends_it_at_once(serve: Serve) -> None:
    async with serve(DRAIN_SECONDS="25", SHUTDOWN_TIMEOUT="60") as api:
        await api.event("started")
        api.send(signal.SIGTERM)
        await api.event("draining")
        api.send(signal.SIGTERM)
        assert await api.exit_code() == 128 + signal.SIGTERM


async def test_without_a_database_it_lives_and_says_so_and_sigterm_ends_it(serve: Serve) -> None:
    nowhere = f"postgresql://127.0.0.1:{closed_port()}/nothing"
    async with serve(DATABASE_URL=nowhere, DATABASE_DEADLINE="0.1") as api:
        await api.event("component_not_started", component="database")
        assert (await get(api, "/health/live")).status_code == 200
        startup = await get(api, "/health/startup")
        assert (startup.status_code, startup.json()["waiting_for"]) == (503, "database")
        elsewhere = await get(api, "/tasks")
        assert (elsewhere.status_code, elsewhere.headers["retry-after"]) == (503, "2")
        api.send(signal.SIGTERM)
        assert await api.exit_code() == 0


async def test_it_gives_up_on_a_missing_database_with_code_three_and_one_line(serve: Serve) -> None:
    async with serve(DATABASE_URL=f"postgresql://127.0.0.1:{closed_port()}/nothing", STARTUP_TIMEOUT="1") as api:
        assert await api.exit_code() == 3
        assert [line for line in api.lines if line.startswith("not started: database could not be started")]


async def test_it_starts_when_the_database_comes(serve: Serve, database_url: str) -> None:
    host, port = database_url.rsplit("@", 1)[1].split("/", maxsplit=1)[0].split(":")
    async with proxy_to(host, int(port)) as proxy:
        proxy.freeze()
        through = database_url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")
        async with serve(DATABASE_URL=through) as api:
            await api.event("component_not_started", component="database")
            proxy.thaw()
            await api.event("started")


async def test_a_request_that_comes_while_it_starts_is_answered_when_it_has(serve: Serve, database_url: str) -> None:
    host, port = database_url.rsplit("@", 1)[1].split("/", maxsplit=1)[0].split(":")
    async with proxy_to(host, int(port)) as proxy:
        proxy.freeze()
        through = database_url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")
        async with serve(DATABASE_URL=through, DATABASE_DEADLINE="30") as api:
            head = b"GET /tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            answer = asyncio.create_task(raw(api, head))
            await api.event("component_not_started", component="database")
            assert not answer.done()
            proxy.thaw()
            assert (await answer).startswith(b"HTTP/1.1 401 ")


async def test_it_waits_for_the_schema_and_names_the_command(serve: Serve, empty_database_url: str) -> None:
    async with serve(DATABASE_URL=empty_database_url) as api:
        await api.event("component_not_started", component="schema")
        startup = (await get(api, "/health/startup")).json()
        assert startup["waiting_for"] == "schema"
        assert "run taskapi migrate" in startup["detail"]
        async with running(["app.cli", "migrate"], {"DATABASE_URL": empty_database_url}) as migrate:
            assert await migrate.exit_code() == 0
        await api.event("started")


async def test_a_schema_from_the_future_is_not_served(serve: Serve, database_url: str, future_schema: str) -> None:
    async with serve() as api:
        waiting = await api.event("component_not_started", component="schema")
        assert f"{future_schema}) is newer than this release ({migrations.head()})" in waiting["error"]
        assert (await get(api, "/health/ready")).status_code == 503


async def test_unsafe_settings_do_not_start_in_production(serve: Serve) -> None:
    async with serve(ENVIRONMENT="production", SECRET_KEY="secret", ALLOWED_HOSTS="*") as api:
        assert await api.exit_code() == 3
        assert len(api.lines) == 2
        assert api.lines[0].startswith("refused to start: SECRET_KEY: ")
        assert api.lines[1].startswith("refused to start: ALLOWED_HOSTS: ")


async def test_a_malformed_setting_is_one_line_without_its_value(serve: Serve) -> None:
    async with serve(PORT="eighty") as api:
        assert await api.exit_code() == 3
        assert api.lines == [
            "refused to start: PORT: Input should be a valid integer, unable to parse string as an integer"
        ]


NOT_HTTP = [
    (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
    (b"GET /" + b"a" * 100_000, 414),
    (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000, 431),
]


async def test_what_is_not_http_gets_a_problem(serve: Serve) -> None:
    async with serve() as api:
        await api.event("started")
        for request, status in NOT_HTTP:
            head, _, body = (await raw(api, request)).partition(b"\r\n\r\n")
            assert head.startswith(f"HTTP/1.1 {status} ".encode()), (request[:80], head)
            assert b"application/problem+json" in head
            assert b"connection: close" in head
            assert json.loads(body)["request_id"].encode() in head


async def test_a_body_over_the_limit_is_refused_announced_or_not(serve: Serve) -> None:
    async with serve(MAX_BODY_BYTES="2048") as api:
        await api.event("started")
        head = b"POST /auth/refresh HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await raw(api, head + b"400\r\n" + b" " * 1024 + b"\r\n" + b"800\r\n" + b" " * 2048 + b"\r\n0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        # It may or may not be sent after this, so the connection must close, or the answer never ends here.
        head = (
            b"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await raw(api, head)).startswith(b"HTTP/1.1 413 ")


async def test_uvicorn_serves_the_application_too(database_url: str, redis_url: str) -> None:
    port = closed_port()
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    async with running(["uvicorn", "app.main:app", "--port", str(port)], environment) as server:
        await server.event("started")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/health/ready")).status_code == 200
