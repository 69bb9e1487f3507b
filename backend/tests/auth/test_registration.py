from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import func, select

from app.models import Project, User, Workspace, WorkspaceMember

GOOD = "correct horse battery staple"


async def rows_of(database, model):
    async with database.session() as session:
        return (await session.execute(select(func.count()).select_from(model))).scalar_one()


async def test_registering_makes_a_user_with_a_workspace_and_an_inbox(client, database):
    answer = await client.post("/auth/register", json={"email": "Ana@Example.com", "password": GOOD, "name": "Ana"})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/auth/me"
    assert answer.headers["etag"] == '"1"'
    user = answer.json()
    assert user | {"email": "Ana@example.com", "name": "Ana", "is_superuser": False, "time_zone": "UTC"} == user
    assert not {"password", "password_hash"} & user.keys()
    async with database.session() as session:
        workspace = (await session.execute(select(Workspace))).scalar_one()
        member = (await session.execute(select(WorkspaceMember))).scalar_one()
        inbox = (await session.execute(select(Project))).scalar_one()
    assert str(workspace.personal_to) == user["id"]
    assert (member.workspace_id, member.role) == (workspace.id, "owner")
    assert (inbox.workspace_id, inbox.key, inbox.is_inbox) == (workspace.id, "INBOX", True)


async def test_the_place_that_registering_names_shows_the_user_at_once(client):
    registered = await client.post("/auth/register", json={"email": "ana@example.com", "password": GOOD})
    login = await client.post("/auth/login", data={"username": "ana@example.com", "password": GOOD})
    headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
    assert (await client.get(registered.headers["location"], headers=headers)).json() == registered.json()


@pytest.mark.parametrize("again", ["ana@example.com", "ANA@EXAMPLE.COM", "Ana@Example.Com"])
async def test_an_address_is_taken_whatever_its_case(client, database, again):
    await client.post("/auth/register", json={"email": "ana@example.com", "password": GOOD})
    answer = await client.post("/auth/register", json={"email": again, "password": GOOD})
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert await rows_of(database, User) == await rows_of(database, Project) == 1


async def test_of_many_who_register_one_address_at_once_one_gets_it(client, database):
    body = {"email": "ana@example.com", "password": GOOD}
    answers = await asyncio.gather(*(client.post("/auth/register", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert await rows_of(database, User) == await rows_of(database, Workspace) == 1


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("tiny", "password_too_short"),
        ("elevenchars", "password_too_short"),
        ("qwertyuiop123", "password_common"),
        ("passwordpassword", "password_common"),
        ("ana@example.com", "password_guessable"),
        ("task-management-api", "password_guessable"),
        ("with a \x00 inside of it", "nul_character"),
        ("with a \ud800 inside of it", "string_unicode"),
        ("é" * 512, "password_too_long"),
        ("x" * 1_000_000, "string_too_long"),
        (123456789012, "string_type"),
    ],
)
async def test_a_bad_password_is_refused_with_the_reason_and_no_echo(client, database, password, code):
    body = {"email": "ana@example.com", "password": password}
    answer = await client.post("/auth/register", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["pointer"], problem["code"]) == ("/password", code)
    assert str(password) not in answer.json()["detail"] + problem["message"]
    assert len(answer.content) < 4096
    assert await rows_of(database, User) == 0


@pytest.mark.parametrize("length", [12, 64, 128, 1000])
async def test_a_password_of_any_other_length_is_accepted_whole(client, length):
    password = ("correct horse battery staple " * 40)[:length]
    assert (
        await client.post("/auth/register", json={"email": "a@example.com", "password": password})
    ).status_code == 201
    login = {"username": "a@example.com", "password": password}
    assert (await client.post("/auth/login", data=login)).status_code == 200
    assert (await client.post("/auth/login", data={**login, "password": password[:-1]})).status_code == 401


async def test_a_password_is_the_same_however_its_accents_were_typed(client):
    composed, decomposed = "p\u00e4sst schon f\u00fcr heute", "pa\u0308sst schon fu\u0308r heute"
    await client.post("/auth/register", json={"email": "a@example.com", "password": composed})
    assert (
        await client.post("/auth/login", data={"username": "a@example.com", "password": decomposed})
    ).status_code == 200


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"email": "no address"}, "/email"),
        ({"email": "\uff46\uff55\uff4c\uff4c@example.com"}, "/email"),
        ({"email": "x" * 250 + "@example.com"}, "/email"),
        ({"email": "nul\x00@example.com"}, "/email"),
        ({"email": None}, "/email"),
        ({"name": "  "}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"is_superuser": True}, "/is_superuser"),
        ({"id": "0190b1c6-0000-7000-8000-000000000000"}, "/id"),
        ({"password_hash": "x"}, "/password_hash"),
    ],
)
async def test_a_field_that_is_wrong_or_not_the_clients_to_set_is_named(client, database, changes, pointer):
    answer = await client.post("/auth/register", json={"email": "ana@example.com", "password": GOOD, **changes})
    assert answer.status_code == 422
    assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]
    assert await rows_of(database, User) == 0


class TestWhereRegistrationIsClosed:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"registration_enabled": False})

    async def test_nobody_registers(self, client, database):
        answer = await client.post("/auth/register", json={"email": "ana@example.com", "password": GOOD})
        assert (answer.status_code, answer.json()["code"]) == (403, "registration_closed")
        assert await rows_of(database, User) == 0


class TestWhereExistingAddressesAreHidden:
    @pytest.fixture
    def settings(self, settings):
        return settings.model_copy(update={"registration_hide_existing": True})

    async def test_the_answer_is_the_same_whether_the_address_had_an_account(self, client, database):
        body = {"email": "ana@example.com", "password": GOOD}
        first, second = [await client.post("/auth/register", json=body) for _ in range(2)]
        assert first.status_code == second.status_code == 202
        assert first.content == second.content
        own = {"x-request-id", "ratelimit"}
        assert {k: v for k, v in first.headers.items() if k not in own} == {
            k: v for k, v in second.headers.items() if k not in own
        }
        assert await rows_of(database, User) == 1

    async def test_the_new_account_is_there_and_the_old_one_keeps_its_password(self, client):
        await client.post("/auth/register", json={"email": "ana@example.com", "password": GOOD})
        await client.post("/auth/register", json={"email": "ana@example.com", "password": "another " + GOOD})
        login = {"username": "ana@example.com", "password": GOOD}
        assert (await client.post("/auth/login", data=login)).status_code == 200
