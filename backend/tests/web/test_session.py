"""One request is one transaction, and its answer leaves after the commit."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import insert, select

from app.identity.dependencies import CurrentCaller
from app.kit.errors import Conflict
from app.kit.ids import new_id
from app.models import IdempotencyKey, Label
from app.web.routing import Route
from app.web.session import SessionDep

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON labels DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
async def refusing_commit(database_url: str) -> AsyncIterator[None]:
    """A new label is taken by its statement, and refused at the commit."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(REFUSE)
    yield
    await connection.execute("DROP TRIGGER refuse ON labels; DROP FUNCTION refuse()")
    await connection.close()


async def labels(app):
    async with app.state.database.session() as session:
        return list(await session.scalars(select(Label.name)))


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
async def test_a_constraint_that_fails_at_commit_gives_an_error_and_no_201(app, api, refusing_commit, headers):
    answer = await api.post("/labels", json={"name": "home"}, headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert "location" not in answer.headers
    assert await labels(app) == []
    async with app.state.database.session() as session:
        assert await session.scalar(select(IdempotencyKey.key)) is None


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
async def test_others_see_the_effect_before_the_answer_leaves(app, api, headers):
    seen_at_start = []

    async def watched(scope, receive, send):
        async def look_first(message):
            if message["type"] == "http.response.start":
                seen_at_start.extend(await labels(app))
            await send(message)

        await app(scope, receive, look_first)

    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=watched), base_url="http://testserver", headers=api.headers
    ) as client:
        answer = await client.post("/labels", json={"name": "home"}, headers=headers)

    assert answer.status_code == 201
    assert seen_at_start == ["home"]


async def test_what_a_refused_request_wrote_is_undone(app, api):
    router = APIRouter(route_class=Route)

    @router.post("/half")
    async def half(caller: CurrentCaller, session: SessionDep) -> None:
        await session.execute(insert(Label).values(id=new_id(), workspace_id=caller.scope.personal, name="home"))
        raise Conflict

    app.include_router(router)

    assert (await api.post("/half")).status_code == 409
    assert await labels(app) == []
    assert app.state.database.pool_figures()["session_pool_checked_out"] == 0
