"""`taskapi users`, as the operator runs it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID

import pytest

BACKEND = Path(__file__).parents[2]
PASSWORD = "correct horse battery staple"


@pytest.fixture
def taskapi(settings, tmp_path):
    async def run(*arguments, stdin=""):
        environment = {
            **os.environ,
            "DATABASE_URL": str(settings.database_url),
            "SECRET_KEY": settings.secret_key.get_secret_value(),
            "PYTHONPATH": str(BACKEND),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.cli", *arguments,
            env=environment, cwd=tmp_path,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(stdin.encode())
        return process.returncode, out.decode(), err.decode()

    return run


def create(taskapi, email, *options, password=PASSWORD):
    return taskapi("users", "create", "--email", email, "--password-stdin", *options, stdin=f"{password}\n")


async def login(client, email):
    answer = await client.post("/auth/login", data={"username": email, "password": PASSWORD})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_a_superuser_made_by_the_operator_signs_in_and_has_an_inbox(taskapi, client):
    code, out, err = await create(taskapi, "root@example.com", "--superuser")
    assert (code, err) == (0, "")
    headers = await login(client, "root@example.com")
    me = (await client.get("/auth/me", headers=headers)).json()
    assert UUID(out.strip()) == UUID(me["id"])
    assert me["is_superuser"] is True
    projects = (await client.get("/projects", headers=headers)).json()["items"]
    assert [project["is_inbox"] for project in projects] == [True]


async def test_without_the_option_it_is_an_ordinary_account(taskapi, client):
    await create(taskapi, "ana@example.com")
    me = (await client.get("/auth/me", headers=await login(client, "ana@example.com"))).json()
    assert me["is_superuser"] is False


@pytest.mark.parametrize(
    ("email", "password", "reason"),
    [
        ("no address", PASSWORD, "valid email address"),
        ("ana@example.com", "tiny", "at least 12 characters"),
        ("ana@example.com", "passwordpassword", "first that an attacker tries"),
    ],
)
async def test_what_cannot_be_an_account_is_refused_in_one_line(taskapi, email, password, reason):
    code, out, err = await create(taskapi, email, password=password)
    assert (code, out) == (1, "")
    assert err.startswith("users create: ")
    assert reason in err
    assert err.count("\n") == 1
    assert password not in err


async def test_an_address_that_is_taken_is_refused(taskapi):
    await create(taskapi, "ana@example.com")
    code, _, err = await create(taskapi, "ANA@example.com")
    assert (code, err) == (1, "users create: There is an account with this address already\n")
