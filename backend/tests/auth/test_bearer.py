"""How routes take the access token; the tokens themselves are tried in tests/identity."""

from __future__ import annotations

import asyncio
import base64
from uuid import uuid4

import pytest
from sqlalchemy import update

from app.models import User


@pytest.fixture
async def account(sign_up):
    return await sign_up()


def token_of(account):
    return account.headers["Authorization"].removeprefix("Bearer ")


async def me(client, value):
    return await client.get("/auth/me", headers={"Authorization": value})


async def test_the_scheme_is_read_in_any_case(client, account):
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await me(client, f"{scheme} {token_of(account)}")).status_code == 200


async def test_without_a_token_the_answer_says_how_to_bring_one(client):
    answer = await client.get("/auth/me")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="task-management-api"'


async def test_every_wrong_token_gets_the_same_answer(client, account, app):
    token = token_of(account)
    stranger = app.state.identity.access_tokens.issue(uuid4(), account.user_id)
    basic = base64.b64encode(f"{account.email}:{account.password}".encode()).decode()
    wrong = [
        f"Bearer {token[:-4]}AAAA",
        "Bearer ",
        "Bearer",
        "",
        f"Bearer {account.refresh_token}",
        f"Bearer {stranger}",
        f"Basic {token}",
        f"Basic {basic}",
        f"Token {token}",
        f"Bearer  {token}",
        f"Bearer {token} {token}",
        f"Bearer {'x' * 20_000}",
    ]
    answers = [await me(client, value) for value in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="task-management-api", error="invalid_token"'
    }
    bodies = [answer.json() for answer in answers]
    for body in bodies:
        del body["request_id"]
    assert bodies == [bodies[0]] * len(bodies)


async def test_two_authorization_headers_are_refused(client, account):
    both = [("Authorization", account.headers["Authorization"])] * 2
    assert (await client.get("/auth/me", headers=both)).status_code == 400


@pytest.mark.parametrize("name", ["access_token", "token", "authorization"])
async def test_a_token_in_the_query_signs_nobody_in(client, account, name):
    answer = await client.get("/auth/me", params={name: token_of(account)})
    assert answer.status_code in {401, 422}
    assert token_of(account) not in answer.text


async def test_a_header_of_64_kilobytes_is_refused(client):
    assert (await me(client, "Bearer " + "x" * 65_536)).status_code == 431


async def test_an_access_token_is_no_refresh_token(client, account):
    answer = await client.post("/auth/refresh", json={"refresh_token": token_of(account)[:200]})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")


async def test_a_disabled_user_is_out_within_a_second_without_redis_having_a_say(client, account, app):
    async with app.state.database.transaction() as session:
        await session.execute(update(User).where(User.id == account.user_id).values(is_active=False))
    await app.state.redis.stop()
    # What the process still remembers is at most a second old.
    for state in app.state.identity.callers._states.values():
        assert state.until - asyncio.get_running_loop().time() <= 1.0
    app.state.identity.callers._states.clear()
    assert (await client.get("/auth/me", headers=account.headers)).status_code == 401


async def test_only_superusers_are_let_in_where_one_is_needed(client, account, app):
    assert (await client.get("/health/detailed", headers=account.headers)).status_code == 403
    async with app.state.database.transaction() as session:
        await session.execute(update(User).where(User.id == account.user_id).values(is_superuser=True))
    app.state.identity.callers._states.clear()
    assert (await client.get("/health/detailed", headers=account.headers)).status_code in {200, 503}
