from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from pydantic_core import MultiHostUrl
from sqlalchemy import text

from app.core.app_factory import create_app
from app.infra.redis import Redis
from app.infra.settings import Settings
from app.kit.clock import utc_now
from app.kit.lifecycle import CheckFailed
from tests.conftest import Account, SignUp

CHECKS = ["database", "redis", "redis_policy", "celery_workers", "celery_beat", "disk_space", "memory"]
PROTECTED = [
    ("GET", "/health/detailed"),
    ("GET", "/health/metrics"),
    ("POST", "/health/checks/run"),
    ("GET", "/metrics"),
]


@pytest.fixture
async def superuser(app: FastAPI, client: httpx2.AsyncClient, sign_up: SignUp) -> Account:
    account = await sign_up()
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE users SET is_superuser = true WHERE id = :id"), {"id": account.user_id})
    return account


async def test_anybody_learns_how_the_service_is_and_no_more(client: httpx2.AsyncClient) -> None:
    body = (await client.get("/health")).json()
    assert set(body) == {"status", "timestamp", "service", "version", "commit", "uptime_seconds"}
    assert body["service"] == "task-management-api"
    assert body["status"] in {"healthy", "degraded"}
    assert body["timestamp"].endswith("Z")
    assert body["uptime_seconds"] > 0


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/health/startup"])
async def test_a_probe_is_served_with_and_without_a_slash_and_as_head(client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200
    assert (await client.get(path + "/")).status_code == 200
    assert (await client.head(path)).status_code == 200


async def test_ready_names_every_check(client: httpx2.AsyncClient) -> None:
    body = (await client.get("/health/ready")).json()
    assert body["status"] == "ready"
    assert body["critical_checks"] == ["database"]
    assert body["failed_checks"] == []
    assert list(body["checks"]) == CHECKS
    # Nobody has run a job here yet: that is said, and keeps no request away.
    assert body["checks"]["celery_workers"] == "degraded"
    assert body["healthy_checks"] == [name for name in CHECKS if body["checks"][name] == "healthy"]


async def test_live_and_startup_say_one_thing(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "alive"}
    assert (await client.get("/health/startup")).json() == {"status": "started", "waiting_for": None, "detail": None}


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_details_are_for_superusers(client: httpx2.AsyncClient, sign_up: SignUp, method: str, path: str) -> None:
    assert (await client.request(method, path)).status_code == 401
    ordinary = await sign_up()
    refused = await client.request(method, path, headers=ordinary.headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "superuser_required")


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_a_superuser_sees_them(client: httpx2.AsyncClient, superuser: Account, method: str, path: str) -> None:
    assert (await client.request(method, path, headers=superuser.headers)).status_code == 200


@pytest.fixture
async def scraper(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings.model_copy(update={"scrape_token": SecretStr("scrape-me")}))
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield client


async def test_the_scrape_token_opens_the_figures_and_nothing_else(scraper: httpx2.AsyncClient) -> None:
    right = {"Authorization": "Bearer scrape-me"}
    for path in ("/metrics", "/health/detailed"):
        assert (await scraper.get(path, headers=right)).status_code == 200
        for wrong in ("Bearer scrape", "Bearer scrape-me2", "scrape-me", "Bearer "):
            assert (await scraper.get(path, headers={"Authorization": wrong})).status_code == 401
    assert (await scraper.get("/health/metrics", headers=right)).status_code == 401


async def test_metrics_are_openmetrics(scraper: httpx2.AsyncClient) -> None:
    answer = await scraper.get("/metrics", headers={"Authorization": "Bearer scrape-me"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert 'taskapi_health_check_healthy{check="database"} 1.0' in answer.text


async def test_a_check_shows_what_it_found_and_when(client: httpx2.AsyncClient, superuser: Account) -> None:
    report = (await client.get("/health/detailed", headers=superuser.headers)).json()
    assert list(report["checks"]) == CHECKS
    database = report["checks"]["database"]
    assert (database["status"], database["critical"], database["error"]) == ("healthy", True, None)
    assert database["age_seconds"] >= 0
    assert database["duration_ms"] > 0
    assert database["details"]["pool_size"] == 4
    assert report["checks"]["redis"]["details"]["maxmemory_policy"]
    assert report["checks"]["celery_beat"]["error"] == "no_proof"


async def test_a_check_that_fails_names_its_page(client: httpx2.AsyncClient, superuser: Account) -> None:
    checks = (await client.get("/health/detailed", headers=superuser.headers)).json()["checks"]
    assert checks["celery_beat"]["runbook"] == "docs/operations/runbooks/celery_beat.md"
    assert checks["database"]["runbook"] is None


async def test_a_redis_that_deletes_messages_is_named(settings: Settings, own_redis: str) -> None:
    redis = Redis(settings.model_copy(update={"redis_url": MultiHostUrl(own_redis)}))
    _, check = redis.checks()
    assert (await check.probe())["maxmemory_policy"] == "noeviction"
    await redis.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(CheckFailed, match="evicting_policy"):
        await check.probe()
    await redis.stop()


async def test_workers_and_beat_are_healthy_by_their_work(
    app: FastAPI, client: httpx2.AsyncClient, superuser: Account
) -> None:
    async with app.state.database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO jobs (id, kind, queue, args, state, max_attempts, finished_at) "
                "VALUES (gen_random_uuid(), 'health.probe', 'default', '{}', 'completed', 1, :at)"
            ),
            {"at": utc_now() - timedelta(seconds=5)},
        )
        await session.execute(
            text(
                "INSERT INTO schedules (id, name, kind, args, interval_seconds, next_slot, built_in) "
                "VALUES (gen_random_uuid(), 'probe', 'health.probe', '{}', 30, now(), true)"
            )
        )
        await session.execute(
            text(
                "INSERT INTO schedule_runs (schedule_id, slot, outcome, created_at) "
                "SELECT id, now(), 'enqueued', now() - interval '10 minutes' FROM schedules"
            )
        )
    app.state.health._last_round -= 1  # as if a second had passed
    checks = (await client.post("/health/checks/run", headers=superuser.headers)).json()["checks"]
    assert checks["celery_workers"]["status"] == "healthy"
    assert 5 <= checks["celery_workers"]["details"]["last_proof_seconds_ago"] < 60
    assert checks["celery_beat"]["error"] == "proof_too_old"
    assert checks["celery_beat"]["status"] == "degraded"
