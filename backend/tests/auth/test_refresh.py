from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, text

from app.identity.tokens import digest
from app.infra.settings import Settings
from app.models import Session


@pytest.fixture
async def account(sign_up):
    return await sign_up()


def refresh(client, token):
    return client.post("/auth/refresh", json={"refresh_token": token})


async def status_of(client, tokens):
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    return (await client.get("/auth/me", headers=headers)).status_code


async def later(database, seconds):
    """As if every rotation had been so much earlier."""
    async with database.transaction() as session:
        statement = text("UPDATE sessions SET rotated_at = rotated_at - make_interval(secs => :seconds)")
        await session.execute(statement, {"seconds": seconds})


async def test_a_refresh_token_gives_the_next_pair_once(client, account):
    first = (await refresh(client, account.refresh_token)).json()
    assert first["refresh_token"] != account.refresh_token
    assert await status_of(client, first) == 200
    second = await refresh(client, first["refresh_token"])
    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]


async def test_a_lost_answer_is_had_again_for_half_a_minute(client, account, database):
    first = (await refresh(client, account.refresh_token)).json()
    await later(database, 29)
    again = (await refresh(client, account.refresh_token)).json()
    assert again["refresh_token"] == first["refresh_token"]
    assert await status_of(client, again) == 200


async def test_of_many_who_refresh_at_once_all_get_the_same_successor(client, account, database):
    answers = await asyncio.gather(*(refresh(client, account.refresh_token) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    async with database.session() as session:
        row = (await session.execute(select(Session))).scalar_one()
    assert row.refresh_hash == digest(successor)
    assert row.previous_hash == digest(account.refresh_token)


@pytest.mark.parametrize("age", [31, 86_400])
async def test_a_used_token_presented_later_ends_the_whole_session(client, account, database, age):
    first = (await refresh(client, account.refresh_token)).json()
    await later(database, age)
    reused = await refresh(client, account.refresh_token)
    assert (reused.status_code, reused.json()["code"]) == (401, "invalid_refresh_token")
    assert reused.headers["www-authenticate"].endswith('error="invalid_token"')
    assert (await refresh(client, first["refresh_token"])).status_code == 401
    assert await status_of(client, first) == 401
    async with database.session() as session:
        assert (await session.execute(select(Session))).scalar_one().revoked_at is not None


async def test_a_token_from_before_the_last_one_is_a_sign_of_theft_too(client, account):
    first = (await refresh(client, account.refresh_token)).json()
    second = (await refresh(client, first["refresh_token"])).json()
    assert (await refresh(client, account.refresh_token)).status_code == 401
    assert (await refresh(client, second["refresh_token"])).status_code == 401


async def test_theft_of_one_session_leaves_the_others_alone(client, account, database):
    other = (await client.post("/auth/login", data={"username": account.email, "password": account.password})).json()
    await refresh(client, account.refresh_token)
    await later(database, 31)
    assert (await refresh(client, account.refresh_token)).status_code == 401
    assert await status_of(client, other) == 200
    assert (await refresh(client, other["refresh_token"])).status_code == 200


async def test_a_guess_that_names_a_session_does_not_end_it(client, account):
    guess = account.refresh_token[:30] + ("A" if account.refresh_token[30] != "A" else "B") + account.refresh_token[31:]
    assert (await refresh(client, guess)).status_code == 401
    assert (await refresh(client, account.refresh_token + " ")).status_code == 401
    assert (await refresh(client, account.refresh_token)).status_code == 200


async def test_refreshing_prolongs_the_session(client, account, database):
    async with database.transaction() as session:
        await session.execute(text("UPDATE sessions SET expires_at = now() + interval '1 minute'"))
    assert (await refresh(client, account.refresh_token)).status_code == 200
    async with database.session() as session:
        left = (await session.execute(text("SELECT expires_at - now() FROM sessions"))).scalar_one()
    assert left.days == 29


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET expires_at = now() - interval '1 second'",
        "UPDATE sessions SET revoked_at = now()",
        "UPDATE users SET is_active = false",
        "DELETE FROM users",
    ],
)
async def test_a_session_that_does_not_count_is_not_continued(client, account, database, change):
    async with database.transaction() as session:
        await session.execute(text(change))
    assert (await refresh(client, account.refresh_token)).status_code == 401


async def test_the_same_successor_is_found_after_the_signing_key_was_changed(client, account, app, settings):
    first = (await refresh(client, account.refresh_token)).json()
    old = settings.secret_key.get_secret_value()
    rotated = Settings(**{**settings.model_dump(), "secret_key": "k" * 40, "previous_secret_keys": [old]})
    from app.identity.parts import make_identity

    app.state.identity = make_identity(app.state.database, rotated)
    again = await refresh(client, account.refresh_token)
    assert again.json()["refresh_token"] == first["refresh_token"]
    assert await status_of(client, first) == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"refresh_token": None}, {"refresh_token": 7}, {"refresh_token": ""}, {"refresh_token": "x", "more": 1}],
)
async def test_a_body_of_another_shape_is_refused(client, body):
    assert (await client.post("/auth/refresh", json=body)).status_code == 422
