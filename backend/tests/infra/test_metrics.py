from __future__ import annotations

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.infra.database import Database
from app.infra.metrics import Metrics
from app.infra.settings import Settings
from app.infra.statements import Statement
from tests.conftest import Account

_ONE = Statement(text("SELECT 1 AS one"))
_SLOW = Statement(text("SELECT pg_sleep(4)"))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Settings(build_commit="abc"))


def test_requests_are_counted_by_route_method_and_status(metrics: Metrics) -> None:
    for status in (200, 200, 404):
        metrics.observe_request("/tasks/{task_id}", "GET", status, 0.004)
    shown = metrics.render().decode()
    assert 'taskapi_http_requests_total{method="GET",route="/tasks/{task_id}",status="200"} 2.0' in shown
    assert 'taskapi_http_requests_total{method="GET",route="/tasks/{task_id}",status="404"} 1.0' in shown
    assert 'taskapi_http_request_duration_seconds_count{method="GET",route="/tasks/{task_id}"} 3.0' in shown
    assert 'seconds_bucket{le="0.005",method="GET",route="/tasks/{task_id}"} 3.0' in shown


def test_two_applications_do_not_share_figures(metrics: Metrics) -> None:
    metrics.observe_check("database", healthy=True, details={})
    assert "taskapi_health_check_healthy{" not in Metrics(Settings()).render().decode()


def test_a_gauge_is_read_when_the_metrics_are(metrics: Metrics) -> None:
    value = 1.0
    metrics.gauge("taskapi_example", "An example.", lambda: value)
    value = 7.0
    assert "taskapi_example 7.0" in metrics.render().decode()


def test_the_release_is_told(metrics: Metrics) -> None:
    assert 'taskapi_build_info{commit="abc",version="' in metrics.render().decode()


def test_the_numbers_of_a_check_go_when_it_finds_none(metrics: Metrics) -> None:
    metrics.observe_check("redis", healthy=True, details={"ping_ms": 0.4, "version": "9.1"})
    value = metrics.registry.get_sample_value
    ping = {"check": "redis", "figure": "ping_ms"}
    assert value("taskapi_health_figure", ping) == 0.4
    assert value("taskapi_health_figure", {"check": "redis", "figure": "version"}) is None
    metrics.observe_check("redis", healthy=False, details={})
    assert value("taskapi_health_figure", ping) is None


async def test_who_waits_for_a_connection_is_counted_in_both_pools(settings: Settings, metrics: Metrics) -> None:
    small = settings.model_copy(update={"database_pool_size": 1, "database_session_pool_size": 1})
    database = Database(small)
    await database.start()
    metrics.pools(database.pool_figures)

    def figure(name: str) -> list[float | None]:
        return [
            metrics.registry.get_sample_value(f"taskapi_database_pool_{name}", {"pool": pool})
            for pool in ("statements", "transactions")
        ]

    assert (figure("size"), figure("in_use"), figure("waiting")) == ([1, 1], [0, 0], [0, 0])
    async with database.transaction() as session:
        await session.execute(text("SELECT 1"))
        slow = asyncio.create_task(database.fetch(_SLOW, {}))
        await asyncio.sleep(0)

        async def another() -> None:
            async with database.transaction() as second:
                await second.execute(text("SELECT 1"))

        late = [asyncio.create_task(work) for work in (another(), database.fetch(_ONE, {}))]
        async with asyncio.timeout(2):
            while figure("waiting") != [1, 1]:
                await asyncio.sleep(0)
        assert figure("in_use") == [1, 1]
        slow.cancel()
    await asyncio.gather(*late)
    assert (figure("in_use"), figure("waiting")) == ([0, 0], [0, 0])
    await database.stop()


async def test_a_loop_that_was_kept_busy_shows(app: FastAPI) -> None:
    def late() -> float:
        value = app.state.metrics.registry.get_sample_value
        shown = value("taskapi_event_loop_lag_seconds_count") - value(
            "taskapi_event_loop_lag_seconds_bucket", {"le": "0.1"}
        )
        return float(shown)

    before = late()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        while late() == before:
            busy_until = loop.time() + 0.5
            while loop.time() < busy_until:
                pass
            await asyncio.sleep(0)


async def test_what_changes_is_counted_once_whoever_does_it(
    app: FastAPI, api: httpx2.AsyncClient, ada: Account
) -> None:
    async def counted(action: str) -> float:
        app.state.figures._read -= 60
        await app.state.figures.refresh()
        value = app.state.metrics.registry.get_sample_value(
            "taskapi_changes_total", {"resource": "task", "action": action}
        )
        return float(value or 0)

    assert await counted("created") == 0
    made = [(await api.post("/tasks", json={"title": f"Task {number}"})).json() for number in range(3)]
    assert await counted("created") == 3
    assert await counted("created") == 3
    await api.post(f"/tasks/{made[0]['id']}/complete")
    async with app.state.database.transaction() as session:  # it commits after a later one
        await session.execute(text("SELECT pg_current_xact_id()"))
        await session.execute(
            text(
                "INSERT INTO changes (workspace_id, resource, resource_id, version, action, operation_id)"
                " VALUES (:workspace, 'task', :task, 9, 'completed', gen_random_uuid())"
            ),
            {"workspace": ada.workspace_id, "task": made[1]["id"]},
        )
        await api.post(f"/tasks/{made[2]['id']}/complete")
        assert await counted("completed") == 2
    assert await counted("completed") == 3


async def test_the_server_is_shown_and_is_left_out_when_it_does_not_answer(app: FastAPI) -> None:
    value = app.state.metrics.registry.get_sample_value
    await app.state.figures.refresh()
    assert value("taskapi_postgres_max_connections") > 0
    assert value("taskapi_postgres_connections", {"state": "active"}) >= 1
    assert value("taskapi_postgres_rows", {"table": "jobs"}) is not None
    async with app.state.database.transaction() as session:
        await session.execute(text("SELECT 1"))
        await asyncio.sleep(0.01)
        app.state.figures._read -= 60
        await app.state.figures.refresh()
        assert value("taskapi_postgres_oldest_transaction_seconds") > 0
    app.state.figures._line._url = "postgresql://127.0.0.1:1/none"
    app.state.figures._line.close()
    app.state.figures._read -= 60
    await app.state.figures.refresh()
    assert value("taskapi_postgres_connections", {"state": "active"}) is None
    assert value("taskapi_jobs_waiting", {"queue": "default"}) is None
