"""Nothing waits behind a database that does not answer: not a statement, not a transaction, not a commit."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

import pytest
from fastapi import APIRouter
from pydantic import PostgresDsn
from sqlalchemy import event, text

from app.web import routing
from app.web.routing import Route, no_deadline
from app.web.session import SessionDep
from tests.proxy import proxy_to

HANGING = 10
"""Seconds after which a test gives up; the deadline is far below."""


@pytest.fixture
async def proxy(database_url):
    server = urlsplit(database_url)
    async with proxy_to(server.hostname, server.port) as proxy:
        yield proxy


@pytest.fixture
def settings(settings, proxy):
    """The database is behind the proxy."""
    server = urlsplit(str(settings.database_url))
    through = str(settings.database_url).replace(f"{server.hostname}:{server.port}", f"127.0.0.1:{proxy.port}")
    return settings.model_copy(update={"database_url": PostgresDsn(through)})


@contextlib.contextmanager
def short_deadline(app):
    """Only while it is to pass: a slow machine may take longer than this for a request that succeeds."""
    usual = app.state.settings
    app.state.settings = usual.model_copy(update={"database_deadline": 0.5})
    yield
    app.state.settings = usual


@contextlib.contextmanager
def frozen(app, proxy):
    proxy.freeze()
    with short_deadline(app):
        yield
    proxy.thaw()


async def refused(request):
    async with asyncio.timeout(HANGING):
        answer = await request
    return (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")


async def test_a_statement_without_an_answer_is_given_up(app, api, proxy):
    assert (await api.get("/tasks")).status_code == 200

    with frozen(app, proxy):
        assert await refused(api.get("/tasks"))

    assert (await api.get("/tasks")).status_code == 200
    assert app.state.database.pool_figures()["pool_checked_out"] == 0


async def test_a_transaction_without_an_answer_is_given_up_and_nothing_of_it_stays(app, api, proxy):
    assert (await api.post("/labels", json={"name": "home"})).status_code == 201

    with frozen(app, proxy):
        assert await refused(api.post("/labels", json={"name": "work"}))
        assert await refused(api.post("/tasks", json={"title": "t"}, headers={"Idempotency-Key": "k"}))

    assert [label["name"] for label in (await api.get("/labels")).json()["items"]] == ["home"]
    assert (await api.get("/tasks")).json()["items"] == []
    assert app.state.database.pool_figures()["session_pool_checked_out"] == 0


async def test_a_commit_without_an_answer_is_given_up(app, api, proxy):
    def freeze(_):
        proxy.freeze()

    event.listen(app.state.database.session_class, "before_commit", freeze)
    with short_deadline(app):
        assert await refused(api.post("/labels", json={"name": "home"}))
    event.remove(app.state.database.session_class, "before_commit", freeze)
    proxy.thaw()

    assert (await api.post("/labels", json={"name": "work"})).status_code == 201
    assert app.state.database.pool_figures()["session_pool_checked_out"] == 0


@pytest.mark.parametrize("more", [{}, {"Idempotency-Key": "k"}], ids=["plain", "with a key"])
async def test_a_slow_clients_time_is_not_the_databases(app, api, database, more):
    async def slow():
        yield b'{"name": '
        async with database.session() as other:
            await other.execute(text("SELECT pg_sleep(0.7)"))
        yield b'"home"}'

    json = {"Content-Type": "application/json"}
    with short_deadline(app):
        answer = await api.post("/labels", content=slow(), headers={**json, **more})

    assert answer.status_code == 201, answer.text


async def test_a_body_that_never_comes_is_not_waited_for_forever(app, api, monkeypatch):
    monkeypatch.setattr(routing, "BODY_SECONDS", 0.05)

    async def never():
        yield b"{"
        await asyncio.Event().wait()

    async with asyncio.timeout(HANGING):
        answer = await api.post("/labels", content=never(), headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"


async def test_work_that_is_known_to_take_longer_has_no_deadline(app, api):
    router = APIRouter(route_class=Route)

    @router.get("/bounded")
    async def bounded(session: SessionDep) -> None:
        await session.execute(text("SELECT pg_sleep(0.7)"))

    @router.get("/unbounded")
    @no_deadline
    async def unbounded(session: SessionDep) -> None:
        await session.execute(text("SELECT pg_sleep(0.7)"))

    app.include_router(router)

    with short_deadline(app):
        assert await refused(api.get("/bounded"))
        assert (await api.get("/unbounded")).status_code == 200


async def test_who_finds_no_free_connection_in_time_is_told_to_come_again(app, api):
    database = app.state.database
    database.engine.pool._timeout = (
        0.05  # 2 s in the product: below the deadline of a request, above the one of this test
    )
    async with contextlib.AsyncExitStack() as taken:
        for _ in range(app.state.settings.database_session_pool_size):
            session = await taken.enter_async_context(database.session())
            await session.execute(text("SELECT 1"))
        assert await refused(api.post("/labels", json={"name": "home"}))
    assert (await api.post("/labels", json={"name": "home"})).status_code == 201
