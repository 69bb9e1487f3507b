from __future__ import annotations

import asyncio

import pytest


@pytest.fixture
async def account(sign_up):
    return await sign_up()


def patch(client, account, body, **headers):
    return client.patch("/auth/me", json=body, headers=account.headers | headers)


async def test_a_patch_touches_only_what_it_names(client, account):
    await patch(client, account, {"name": "Ana", "time_zone": "Europe/Berlin"})
    answer = await patch(client, account, {"name": "Ana Lopez"})
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["time_zone"]) == ("Ana Lopez", "Europe/Berlin")
    assert answer.headers["etag"] == '"3"'
    assert (await patch(client, account, {"name": None})).json()["name"] is None


async def test_a_patch_that_changes_nothing_makes_no_version(client, account):
    assert (await patch(client, account, {})).headers["etag"] == '"1"'
    assert (await patch(client, account, {"time_zone": "UTC"})).headers["etag"] == '"1"'


async def test_a_stale_patch_is_refused_with_the_current_tag(client, account):
    await patch(client, account, {"name": "Ana"}, **{"If-Match": '"1"'})
    stale = await patch(client, account, {"name": "Lost"}, **{"If-Match": '"1"'})
    assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
    me = await client.get("/auth/me", headers=account.headers)
    assert me.json()["name"] == "Ana"


async def test_of_many_patches_of_one_version_one_wins(client, account):
    answers = await asyncio.gather(
        *(patch(client, account, {"name": f"Ana {n}"}, **{"If-Match": '"1"'}) for n in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9


async def test_a_profile_that_is_known_already_is_not_sent_again(client, account):
    answer = await client.get("/auth/me", headers=account.headers | {"If-None-Match": '"1"'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    await patch(client, account, {"name": "Ana"})
    assert (await client.get("/auth/me", headers=account.headers | {"If-None-Match": '"1"'})).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"time_zone": "../../etc/passwd"}, "/time_zone"),
        ({"time_zone": "Europe"}, "/time_zone"),
        ({"time_zone": None}, "/time_zone"),
        ({"name": ""}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"is_superuser": True}, "/is_superuser"),
        ({"email": "new@example.com"}, "/email"),
    ],
)
async def test_a_patch_of_the_wrong_shape_names_the_field(client, account, body, pointer):
    answer = await patch(client, account, body)
    assert answer.status_code == 422
    assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]


async def change_password(client, account, **changes):
    body = {"current_password": account.password, "new_password": "another long password", **changes}
    return await client.post("/auth/me/password", json=body, headers=account.headers)


async def test_a_new_password_replaces_the_old_one_and_ends_the_other_sessions(client, account):
    form = {"username": account.email, "password": account.password}
    other = (await client.post("/auth/login", data=form)).json()
    headers = {"Authorization": f"Bearer {other['access_token']}"}
    assert (await client.get("/auth/me", headers=headers)).status_code == 200
    assert (await change_password(client, account)).status_code == 204
    assert (await client.get("/auth/me", headers=headers)).status_code == 401
    assert (await client.get("/auth/me", headers=account.headers)).status_code == 200
    assert (await client.post("/auth/login", data=form)).status_code == 401
    assert (await client.post("/auth/login", data={**form, "password": "another long password"})).status_code == 200


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"current_password": "not the right one"}, "/current_password", "wrong_password"),
        ({"new_password": "tiny"}, "/new_password", "password_too_short"),
        ({"new_password": "qwertyuiop123"}, "/new_password", "password_common"),
    ],
)
async def test_a_refused_new_password_changes_nothing(client, account, changes, pointer, code):
    answer = await change_password(client, account, **changes)
    assert answer.status_code == 422
    assert [(problem["pointer"], problem["code"]) for problem in answer.json()["errors"]] == [(pointer, code)]
    form = {"username": account.email, "password": account.password}
    assert (await client.post("/auth/login", data=form)).status_code == 200
