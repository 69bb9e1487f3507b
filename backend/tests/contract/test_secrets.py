"""What only its owner may know stays with the owner (docs: SECURITY.md)."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis

from app.infra.settings import Settings
from app.models import Base
from app.web.routing import Route

PASSWORD, NEXT, WRONG = (f"{word}-{secrets.token_urlsafe(12)}" for word in ("first", "second", "wrong"))
SCRAPE = f"scrape-{secrets.token_urlsafe(12)}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # One that the server need not know: it trusts, and the address still carries it to wherever addresses go.
    return Settings.model_validate(settings.model_dump() | {"scrape_token": SCRAPE})


async def _in_redis(settings: Settings) -> str:
    redis = Redis.from_url(str(settings.redis_url))
    found = []
    async for key in redis.scan_iter(match=f"{settings.redis_key_prefix}*"):
        found += [key, await redis.dump(key) or b""]
    await redis.aclose()
    return b"\n".join(found).decode(errors="replace")


async def _in_tables(url: str) -> str:
    connection = await asyncpg.connect(url)
    rows = [
        row[0]
        for table in Base.metadata.sorted_tables
        for row in await connection.fetch(f"SELECT to_jsonb(one)::text FROM {table.name} AS one")
    ]
    await connection.close()
    return "\n".join(rows)


async def test_no_password_token_or_key_is_in_logs_metrics_redis_or_tables(
    app: FastAPI, client: httpx2.AsyncClient, settings: Settings, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fail(request: Request) -> Response:
        raise RuntimeError(request.headers["authorization"])

    app.router.add_api_route("/fail", fail, route_class_override=Route)
    account = {"email": "ada@example.com", "password": PASSWORD}
    assert (await client.post("/auth/register", json=account)).status_code == 201
    assert (
        await client.post("/auth/register", json=account | {"password": PASSWORD, "surplus": WRONG})
    ).is_client_error
    login = {"username": "ada@example.com"}
    assert (await client.post("/auth/login", data=login | {"password": WRONG})).status_code == 401
    first = (await client.post("/auth/login", data=login | {"password": PASSWORD})).json()
    second = (await client.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})).json()
    bearer = {"Authorization": f"Bearer {second['access_token']}"}

    async def send(method: str, path: str, **options: Any) -> int:
        headers = bearer | options.pop("headers", {})
        return (await client.request(method, path, headers=headers, **options)).status_code

    key = {"Idempotency-Key": f"key-{secrets.token_hex(8)}"}
    assert await send("POST", "/tasks", json={"title": "a task"}, headers=key) == 201
    assert await send("POST", "/tasks", json={"title": 1, "password": WRONG}) == 422
    assert await send("GET", f"/tasks?token={WRONG}") == 422
    assert await send("GET", "/fail") == 500
    change = {"current_password": PASSWORD, "new_password": NEXT}
    assert await send("POST", "/auth/me/password", json=change) == 204
    third = (await client.post("/auth/refresh", json={"refresh_token": second["refresh_token"]})).json()
    # Its successor was used too: somebody else has it, and the sign-in ends.
    assert (await client.post("/auth/refresh", json={"refresh_token": first["refresh_token"]})).status_code == 401
    metrics = await client.get("/metrics", headers={"Authorization": f"Bearer {SCRAPE}"})
    assert metrics.status_code == 200

    sent = [PASSWORD, NEXT, WRONG, SCRAPE, settings.secret_key.get_secret_value()]
    sent += [one[name] for one in (first, second, third) for name in ("access_token", "refresh_token")]
    database_password = urlsplit(str(settings.database_url)).password
    sent += [f":{database_password}@"] if database_password else []
    printed = capfd.readouterr()
    places = {
        "the log": printed.out + printed.err,
        "metrics": metrics.text,
        "Redis": await _in_redis(settings),
        "a table": await _in_tables(database_url),
    }
    assert '"path":"/fail"' in places["the log"]
    assert "ada@example.com" in places["a table"]
    assert [place for place, text in places.items() for secret in sent if secret in text] == []
