"""Server-sent events, read from a real server, as they come."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.jobs import events
from tests.processes import Process, running


class Stream:
    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The next event; raises StopAsyncIteration at the end."""
        found: dict[str, str] = {}
        async with asyncio.timeout(20):
            while True:
                line = await anext(self._lines)
                if not line and found:
                    return found
                name, _, value = line.partition(": ")
                if name:
                    found[name] = value

    async def rest(self) -> list[dict[str, str]]:
        found = []
        while True:
            try:
                found.append(await self.next())
            except StopAsyncIteration:
                return found


@pytest.fixture
async def api(settings, app) -> AsyncIterator[Process]:
    """The api as a process, beside the one in here, on the same database."""
    environment = {
        "DATABASE_URL": str(settings.database_url), "REDIS_URL": str(settings.redis_url), "PORT": "0",
        "SECRET_KEY": settings.secret_key.get_secret_value(), "DRAIN_SECONDS": "0.5",
    }  # fmt: skip
    async with running(["app.cli", "serve"], environment) as process:
        await process.event("started")
        yield process


@asynccontextmanager
async def following(api: Process, account: Any, job_id: str, **headers: str) -> AsyncIterator[Stream]:
    base = f"http://127.0.0.1:{await api.port()}"
    async with (
        httpx2.AsyncClient(base_url=base, timeout=30) as client,
        client.stream("GET", f"/jobs/{job_id}/events", headers={**account.headers, **headers}) as answer,
    ):
        yield Stream(answer)


async def test_each_change_is_told_until_the_end(api, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    async with following(api, ann, job_id) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        first = await stream.next()
        assert (first["event"], json.loads(first["data"])["state"]) == ("progress", "available")
        await put(job_id, 'progress = \'{"current": 1, "total": 2, "message": null}\'')
        assert json.loads((await stream.next())["data"])["progress"]["current"] == 1
        await put(job_id, "state = 'completed', finished_at = now()")
        (last,) = await stream.rest()
        assert (last["event"], json.loads(last["data"])["state"]) == ("ended", "completed")


async def test_whoever_comes_back_is_told_only_what_is_new(api, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    async with following(api, ann, job_id) as stream:
        seen = (await stream.next())["id"]
    async with following(api, ann, job_id, **{"Last-Event-ID": seen}) as stream:
        await put(job_id, "state = 'completed', finished_at = now()")
        (last,) = await stream.rest()
    assert last["event"] == "ended"
    async with following(api, ann, job_id, **{"Last-Event-ID": last["id"]}) as stream:
        assert stream.answer.status_code == 204


async def test_a_stopping_server_says_so_and_ends_the_stream(api, sign_up, add) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    async with following(api, ann, job_id) as stream:
        await stream.next()
        api.send(signal.SIGTERM)
        (last,) = await stream.rest()
        assert (last["event"], last["data"], last["retry"]) == ("interrupted", '{"reason":"shutdown"}', "1000")
    assert await api.exit_code() == 0


async def test_many_followers_hold_no_connection_to_the_database(client, sign_up, add, settings, app) -> None:
    """More of them than the pools have connections, and the api still answers."""
    ann = await sign_up()
    job_id = await add(ann)
    over = settings.database_pool_size + settings.database_session_pool_size + 5
    async with asyncio.timeout(20):
        streams = [_follow(app, job_id) for _ in range(over)]
        assert {(await anext(stream))[:15] for stream in streams} == {b"event: progress"}
        assert (await client.get(f"/jobs/{job_id}", headers=ann.headers)).status_code == 200
        for stream in streams:
            await stream.aclose()


async def test_a_silent_stream_says_that_it_lives_and_ends_with_the_sign_in(sign_up, add, app, monkeypatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.01)
    ann = await sign_up()
    signed_in = True

    async def may_stay() -> bool:
        return signed_in

    stream = _follow(app, await add(ann), may_stay)
    await anext(stream)
    assert await anext(stream) == b":\n\n"
    signed_in = False
    assert [piece async for piece in stream] == [
        b'event: interrupted\ndata: {"reason":"unauthenticated"}\n\n',
    ]


async def test_a_database_that_is_away_for_a_moment_is_waited_for(sign_up, add, app, monkeypatch) -> None:
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.01)
    ann = await sign_up()
    job_id = await add(ann)
    failures = [ConnectionError(), TimeoutError()]

    async def look() -> Any:
        if failures:
            raise failures.pop()
        return await _look(app, job_id)

    stream = events.follow(look, _yes, asyncio.Event(), None)
    assert (await anext(stream)).startswith(b"event: progress")
    assert failures == []
    await stream.aclose()


async def test_asking_for_the_head_alone_does_not_wait_for_the_job(api, sign_up, add) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{await api.port()}", timeout=10) as client:
        answer = await client.head(f"/jobs/{job_id}/events", headers=ann.headers)
    assert (answer.status_code, answer.content) == (200, b"")


async def _yes() -> bool:
    return True


async def _look(app: Any, job_id: str) -> Any:
    from app.infra.work import Work
    from app.jobs import service

    return await service.get(Work(app.state.database), None, job_id)


def _follow(app: Any, job_id: str, may_stay: Any = _yes) -> Any:
    return events.follow(lambda: _look(app, job_id), may_stay, asyncio.Event(), None)
