from __future__ import annotations

import asyncio

import jwt
import pytest
from sqlalchemy import select, text, update

from app.models import Session, User


@pytest.fixture
async def account(sign_up):
    return await sign_up("ana@example.com")


def login_as(client, account, **changes):
    return client.post("/auth/login", data={"username": account.email, "password": account.password, **changes})


async def disable(database, account):
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == account.user_id).values(is_active=False))


async def test_signing_in_answers_with_a_pair_of_tokens(client, account):
    answer = await login_as(client, account)
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 900)
    assert answer.headers["cache-control"] == "no-store"
    me = await client.get("/auth/me", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert me.json()["email"] == account.email


async def test_an_access_token_carries_what_verifying_needs_and_nothing_else(client, account):
    token = (await login_as(client, account)).json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims.keys() == {"typ", "iss", "aud", "iat", "exp", "jti", "sid", "sub", "scopes"}
    assert claims["exp"] - claims["iat"] == 900
    assert jwt.get_unverified_header(token).keys() == {"alg", "typ", "kid"}


async def test_only_hashes_of_refresh_tokens_are_stored(client, account, database):
    token = (await login_as(client, account)).json()["refresh_token"]
    async with database.session() as session:
        dump = str((await session.execute(text("SELECT s.*, u.* FROM sessions s, users u"))).all())
    assert token not in dump
    assert token.removeprefix("rt_") not in dump


@pytest.mark.parametrize("extra", [{}, {"grant_type": "password"}, {"scope": "", "client_id": "", "client_secret": ""}])
async def test_the_rest_of_the_oauth2_form_is_optional(client, account, extra):
    assert (await login_as(client, account, **extra)).status_code == 200


@pytest.mark.parametrize(
    ("extra", "pointer"),
    [
        ({"grant_type": "client_credentials"}, "/grant_type"),
        ({"otp": "123456"}, "/otp"),
        ({"username": ""}, "/username"),
    ],
)
async def test_a_form_that_says_something_else_is_refused(client, account, extra, pointer):
    answer = await login_as(client, account, **extra)
    assert answer.status_code == 422
    assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("username", ["ANA@example.com", " ana@EXAMPLE.com ", "\uff41\uff4e\uff41@example.com"])
async def test_an_address_is_recognised_however_it_is_typed(client, account, username):
    assert (await login_as(client, account, username=username)).status_code == 200


async def test_every_cause_of_a_failed_login_gets_the_same_answer(client, account, sign_up, database):
    gone = await sign_up("gone@example.com")
    await disable(database, gone)
    answers = [
        await login_as(client, account, password="wrong but long enough"),
        await login_as(client, account, username="nobody@example.com"),
        await login_as(client, account, username="not even an address"),
        await login_as(client, gone),
    ]
    assert {answer.status_code for answer in answers} == {401}
    bodies = [answer.json() for answer in answers]
    assert len({body.pop("request_id") for body in bodies}) == 4
    assert bodies == [bodies[0]] * 4
    assert bodies[0]["code"] == "invalid_credentials"
    own = ("x-request-id", "ratelimit")
    headers = [{k: v for k, v in answer.headers.items() if k not in own} for answer in answers]
    assert headers == [headers[0]] * 4
    assert headers[0]["www-authenticate"].startswith("Bearer ")


async def test_every_cause_of_a_failed_login_costs_one_hash(client, account, app, monkeypatch):
    hasher = app.state.identity.hasher
    hashed = []
    real = hasher._run
    monkeypatch.setattr(hasher, "_run", lambda work: hashed.append(work) or real(work))
    await login_as(client, account, password="wrong but long enough")
    await login_as(client, account, username="nobody@example.com")
    assert len(hashed) == 2


@pytest.mark.parametrize("password", ["x" * 1024, "é" * 512, "x" * 500_000, "nul\x00"])
async def test_a_password_that_cannot_be_one_is_refused_before_it_is_hashed(
    client, account, app, monkeypatch, password
):
    monkeypatch.setattr(app.state.identity.hasher, "_run", None)
    answer = await login_as(client, account, password=password)
    assert answer.status_code == 422
    assert [problem["pointer"] for problem in answer.json()["errors"]] == ["/password"]
    assert len(answer.content) < 4096


async def test_a_hundred_logins_at_once_are_served_or_told_to_come_back(client, account):
    answers = await asyncio.gather(*(login_as(client, account) for _ in range(100)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert any(answer.status_code == 200 for answer in answers)


async def test_a_session_remembers_where_it_was_begun(client, account, database):
    await client.post(
        "/auth/login",
        data={"username": account.email, "password": account.password},
        headers={"User-Agent": "agent " + "x" * 400},
    )
    async with database.session() as session:
        newest = (await session.execute(select(Session).order_by(Session.id.desc()).limit(1))).scalar_one()
    assert newest.address == "127.0.0.1"
    assert newest.user_agent == ("agent " + "x" * 400)[:300]


async def test_json_is_no_login_form(client, account):
    answer = await client.post("/auth/login", json={"username": account.email, "password": account.password})
    assert answer.status_code == 415
