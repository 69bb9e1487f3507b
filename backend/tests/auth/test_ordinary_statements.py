"""The account routes on SQLAlchemy's ordinary path: whatever is compiled once must run there too."""

from __future__ import annotations

import pytest


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"database_compiled_statements": False})


async def test_an_account_lives_through_a_day(client, sign_up):
    account = await sign_up()
    form = {"username": account.email, "password": account.password}
    for _ in range(2):
        assert (await client.post("/auth/login", data={**form, "password": "wrong but long"})).status_code == 401
    other = (await client.post("/auth/login", data=form)).json()
    items = (await client.get("/auth/sessions", headers=account.headers)).json()["items"]
    assert len(items) == 2
    assert (await client.delete(f"/auth/sessions/{items[0]['id']}", headers=account.headers)).status_code == 204
    assert (await client.post("/auth/refresh", json={"refresh_token": other["refresh_token"]})).status_code == 401
    assert (await client.post("/auth/logout", json={"refresh_token": account.refresh_token})).status_code == 204
    assert (await client.get("/auth/me", headers=account.headers)).status_code == 401
    third = (await client.post("/auth/login", data=form)).json()
    headers = {"Authorization": f"Bearer {third['access_token']}"}
    assert (await client.post("/auth/logout-all", headers=headers)).status_code == 204
