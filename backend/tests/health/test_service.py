"""What the service says while the network is taken away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic_core import MultiHostUrl

from app.core.app_factory import create_app
from app.infra.settings import CHECKS, Settings
from tests.proxy import Proxy, proxy_to

Behind = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, httpx2.AsyncClient, Proxy]]]


@pytest.fixture
def behind(settings: Settings) -> Behind:
    """The application with a proxy between it and what `setting` names."""

    @contextlib.asynccontextmanager
    async def start(setting: str, **changed: Any) -> AsyncIterator[tuple[FastAPI, httpx2.AsyncClient, Proxy]]:
        url = getattr(settings, setting)
        server = url.hosts()[0]
        async with proxy_to(server["host"], server["port"]) as proxy:
            through = str(url).replace(f"{server['host']}:{server['port']}", f"127.0.0.1:{proxy.port}")
            app = create_app(settings.model_copy(update={setting: MultiHostUrl(through), **changed}))
            async with app.router.lifespan_context(app):
                await app.state.lifecycle.wait_started()
                transport = httpx2.ASGITransport(app=app)
                async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
                    yield app, client, proxy

    return start


async def ready_when(client: httpx2.AsyncClient, status: int) -> dict[str, Any]:
    """The body of the first answer with this status."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get("/health/ready")
            if answer.status_code == status:
                return dict(answer.json())
            await asyncio.sleep(0.05)


async def test_a_frozen_database_is_not_ready_and_a_thawed_one_is_again(behind: Behind) -> None:
    async with behind("database_url") as (_, client, proxy):
        proxy.freeze()
        body = await ready_when(client, 503)
        assert body["status"] == "not_ready"
        assert body["failed_checks"] == ["database"]
        assert body["checks"]["database"] == "unhealthy"
        assert (await client.get("/health/live")).status_code == 200
        startup = await client.get("/health/startup")
        assert startup.status_code == 200
        proxy.thaw()
        assert (await ready_when(client, 200))["failed_checks"] == []


async def test_a_request_for_a_frozen_database_is_answered_with_503(behind: Behind) -> None:
    async with behind("database_url", database_deadline=0.2) as (_, client, proxy):
        proxy.freeze()
        answer = await client.post("/auth/login", data={"username": "a@example.com", "password": "x" * 20})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "retry-after" in answer.headers
        proxy.thaw()


async def test_without_redis_the_service_is_degraded_and_ready(behind: Behind) -> None:
    async with behind("redis_url") as (_, client, proxy):
        proxy.freeze()
        async with asyncio.timeout(20):
            while (await client.get("/health/ready")).json()["checks"]["redis"] != "degraded":
                await asyncio.sleep(0.05)
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/health")).json()["status"] == "degraded"
        proxy.thaw()
        async with asyncio.timeout(20):
            while (await client.get("/health/ready")).json()["checks"]["redis"] != "healthy":
                await asyncio.sleep(0.05)


async def test_what_is_critical_is_a_setting(behind: Behind) -> None:
    critical = ["database", "redis"]
    async with behind("redis_url", health_critical_checks=critical) as (_, client, proxy):
        proxy.freeze()
        assert (await ready_when(client, 503))["failed_checks"] == ["redis"]
        proxy.thaw()


def test_a_setting_may_name_every_check_and_no_other(app: FastAPI) -> None:
    assert {check.name for check in app.state.health.all_checks} == set(CHECKS)


async def test_a_result_that_has_grown_old_is_a_failure(app: FastAPI, client: httpx2.AsyncClient) -> None:
    app.state.health._task.cancel()  # the loop died, whatever the reason
    assert (await client.get("/health/ready")).status_code == 200
    app.state.health.results["database"]._moment -= 60
    body = (await client.get("/health/ready")).json()
    assert body["failed_checks"] == ["database"]


async def test_probes_ask_the_database_at_most_once_a_second(app: FastAPI, client: httpx2.AsyncClient) -> None:
    before = app.state.health.results["database"].checked_at
    app.state.health._last_round += 3600  # the last round was just now, and stays so
    for _ in range(20):
        await client.get("/health/ready")
        await app.state.health.check_now()
    assert app.state.health.results["database"].checked_at == before


async def test_the_checks_do_not_take_from_the_requests_pool(app: FastAPI, client: httpx2.AsyncClient) -> None:
    database = app.state.database
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):  # all there are
            session = await stack.enter_async_context(database.session())
            await session.connection()
        app.state.health._last_round -= 1
        await app.state.health.check_now()
        assert app.state.health.error_of("database") is None
        assert (await client.get("/health/ready")).status_code == 200
