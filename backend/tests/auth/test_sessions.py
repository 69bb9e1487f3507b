from __future__ import annotations

from uuid import uuid4

import pytest


@pytest.fixture
async def account(sign_up):
    return await sign_up()


async def login(client, account, **headers):
    form = {"username": account.email, "password": account.password}
    tokens = (await client.post("/auth/login", data=form, headers=headers)).json()
    return tokens | {"headers": {"Authorization": f"Bearer {tokens['access_token']}"}}


async def signed_in(client, headers):
    return (await client.get("/auth/me", headers=headers)).status_code == 200


async def test_sessions_are_listed_newest_first_without_secrets(client, account):
    await login(client, account, **{"User-Agent": "phone"})
    answer = await client.get("/auth/sessions", headers=account.headers)
    page = answer.json()
    assert [item["current"] for item in page["items"]] == [False, True]
    assert page["items"][0]["user_agent"] == "phone"
    assert page["items"][0].keys() == {
        "id", "user_agent", "address", "created_at", "last_used_at", "expires_at", "current",
    }  # fmt: skip
    assert page["next_cursor"] is None
    assert account.refresh_token not in answer.text


async def test_sessions_come_in_pages(client, account):
    for _ in range(4):
        await login(client, account)
    seen, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/auth/sessions", params=params, headers=account.headers)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


async def test_a_session_ended_on_another_device_is_out_at_once(client, account):
    phone = await login(client, account)
    assert await signed_in(client, phone["headers"])
    items = (await client.get("/auth/sessions", headers=phone["headers"])).json()["items"]
    (phone_id,) = [item["id"] for item in items if item["current"]]
    assert (await client.delete(f"/auth/sessions/{phone_id}", headers=account.headers)).status_code == 204
    assert not await signed_in(client, phone["headers"])
    assert await signed_in(client, account.headers)
    assert (await client.post("/auth/refresh", json={"refresh_token": phone["refresh_token"]})).status_code == 401
    assert (await client.delete(f"/auth/sessions/{phone_id}", headers=account.headers)).status_code == 404


async def test_nobody_sees_or_ends_the_session_of_another(client, account, sign_up):
    stranger = await sign_up()
    items = (await client.get("/auth/sessions", headers=account.headers)).json()["items"]
    foreign = await client.delete(f"/auth/sessions/{items[0]['id']}", headers=stranger.headers)
    missing = await client.delete(f"/auth/sessions/{uuid4()}", headers=stranger.headers)
    assert foreign.status_code == missing.status_code == 404
    assert {**foreign.json(), "request_id": ""} == {**missing.json(), "request_id": ""}
    assert await signed_in(client, account.headers)


async def test_signing_out_ends_the_session_and_may_be_repeated(client, account):
    other = await login(client, account)
    assert await signed_in(client, account.headers)
    for _ in range(2):
        answer = await client.post("/auth/logout", json={"refresh_token": account.refresh_token})
        assert (answer.status_code, answer.content) == (204, b"")
    assert not await signed_in(client, account.headers)
    assert await signed_in(client, other["headers"])


async def test_a_sign_out_counts_in_another_process_too(client, account, app, settings):
    from app.identity.parts import make_identity

    ours, theirs = app.state.identity, make_identity(app.state.database, settings)
    app.state.identity = theirs
    assert await signed_in(client, account.headers)
    app.state.identity = ours
    await client.post("/auth/logout", json={"refresh_token": account.refresh_token})
    app.state.identity = theirs
    (state,) = theirs.callers._states.values()
    assert state.caller is not None
    # A second later:
    theirs.callers._states = {state.caller.session_id: type(state)(state.caller, state.until - 1.0)}
    assert not await signed_in(client, account.headers)


@pytest.mark.parametrize("token", ["x", "rt_AAAA"])
async def test_signing_out_with_a_token_that_does_not_count_is_no_error(client, token):
    assert (await client.post("/auth/logout", json={"refresh_token": token})).status_code == 204


async def test_signing_out_everywhere_ends_every_session(client, account, sign_up):
    stranger = await sign_up()
    other = await login(client, account)
    assert await signed_in(client, other["headers"])
    assert (await client.post("/auth/logout-all", headers=account.headers)).status_code == 204
    assert not await signed_in(client, account.headers)
    assert not await signed_in(client, other["headers"])
    assert await signed_in(client, stranger.headers)


async def test_signing_out_works_while_redis_is_down(client, account, app):
    await app.state.redis.stop()
    assert await signed_in(client, account.headers)
    await client.post("/auth/logout", json={"refresh_token": account.refresh_token})
    assert not await signed_in(client, account.headers)
