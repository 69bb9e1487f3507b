from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.kit.clock import utc_now
from app.models import Job
from app.worker import enqueue
from app.worker.child import Child
from app.worker.line import Line
from app.worker.presence import Presence
from app.worker.proof import ProbeArgs


@pytest.fixture
async def root(sign_up, app):
    root = await sign_up()
    async with app.state.database.transaction() as session:  # before its first request: callers are cached for a second
        await session.execute(text("UPDATE users SET is_superuser = true WHERE id = :id"), {"id": root.user_id})
    return root


@pytest.fixture
def add(app):
    async def add(assignments: str | None = None, **options: Any) -> str:
        async with app.state.database.transaction() as session:
            job_id = (await enqueue(session, ProbeArgs(), **options)).id
            if assignments:
                await session.execute(text(f"UPDATE jobs SET {assignments} WHERE id = :id"), {"id": job_id})
            return str(job_id)

    return add


@pytest.fixture
def look(app):
    async def look(job_id: str) -> Job:
        async with app.state.database.session() as session:
            return await session.get(Job, job_id)

    return look


@pytest.fixture
def ask(client, root):
    async def ask(path: str, body: Any = None) -> Any:
        method = "GET" if body is None else "POST"
        answer = await client.request(method, f"/admin/jobs{path}", headers=root.headers, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


DEAD = "state = 'discarded', finished_at = now(), attempt = 5, errors = '[{\"code\": \"busy\"}]'"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/queues"), ("GET", "/workers"), ("GET", "/stats"), ("POST", "/pause"), ("POST", "/retry")],
)
async def test_nobody_but_a_superuser_is_let_in(client, sign_up, method: str, path: str) -> None:
    ann = await sign_up()
    answer = await client.request(method, f"/admin/jobs{path}", headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "superuser_required")
    assert (await client.request(method, f"/admin/jobs{path}")).status_code == 401


async def test_the_list_holds_everybody_s_jobs_and_the_machinery_s(ask, sign_up, add) -> None:
    ann = await sign_up()
    system = await add()
    hers = await add(created_by=ann.user_id, workspace_id=ann.workspace_id)
    assert [job["id"] for job in (await ask("?limit=50"))["items"]] == [hers, system]
    assert [job["id"] for job in (await ask(f"?workspace_id={ann.workspace_id}"))["items"]] == [hers]
    assert [job["id"] for job in (await ask(f"?created_by={ann.user_id}&kind=health.probe"))["items"]] == [hers]
    first = await ask("?limit=1")
    assert [job["id"] for job in (await ask(f"?limit=1&cursor={first['next_cursor']}"))["items"]] == [system]


async def test_queues_show_their_depth_and_how_long_the_oldest_waits(ask, add) -> None:
    await add("run_at = now() - interval '90 s'")
    await add()
    await add(run_at=utc_now() + timedelta(hours=1))
    await add("state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h'")
    queues = {queue["queue"]: queue for queue in (await ask("/queues"))["items"]}
    assert list(queues) == ["urgent", "default", "slow", "email", "images", "reports"]
    default = queues["default"]
    assert (default["waiting"], default["scheduled"], default["running"], default["parked"]) == (2, 1, 1, 2)
    assert 90 <= default["oldest_waiting_seconds"] < 150
    assert queues["email"] == {
        "queue": "email", "waiting": 0, "scheduled": 0, "running": 0, "parked": 0, "oldest_waiting_seconds": None,
        "paused_at": None,
    }  # fmt: skip


async def test_no_job_of_a_paused_queue_begins_until_it_is_resumed(ask, add, look, settings) -> None:
    job_id = await add()
    for _ in range(2):  # pausing again changes nothing
        assert (await ask("/pause", {"queue": "default"}))["paused_at"] is not None
    child = Child(settings, "test", lambda: None)
    assert not await asyncio.to_thread(child.run_next, "default")
    assert (await ask("/resume", {"queue": "default"}))["paused_at"] is None
    assert await asyncio.to_thread(child.run_next, "default")
    assert (await look(job_id)).state == "completed"
    await asyncio.to_thread(child.close)


async def test_workers_and_beats_show_their_last_proof_of_work(ask, add, settings) -> None:
    line = Line(settings, "test")
    about = {"pid": 7, "queues": ["default"], "known": [], "slots": 2}
    await Presence(id="a/7-x", role="worker", **about).report(line, None)
    await Presence(id="a/7-x", role="worker", **about).report(line, 30.0)
    await Presence(id="b/8-y", role="beat", **about).report(line, None)
    line.close()
    await add("state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h', worker = 'a/7-x/9'")
    beat, worker = (await ask("/workers"))["items"]
    assert (beat["role"], beat["worked_at"], beat["alive"]) == ("beat", None, True)
    assert (worker["id"], worker["busy"], worker["slots"]) == ("a/7-x", 1, 2)
    assert worker["worked_at"] is not None


async def test_stats_count_what_ended_and_how_long_it_took(ask, add) -> None:
    took = "started_at = run_at + interval '1 s', finished_at = run_at + interval '3 s', attempt = 1"
    await add(f"state = 'completed', {took}")
    await add(DEAD)
    stats = await ask("/stats?hours=1")
    assert stats["dead_letters"] == 1
    (probe,) = stats["kinds"]
    assert (probe["kind"], probe["completed"], probe["discarded"], probe["per_minute"]) == ("health.probe", 1, 1, 0.2)
    assert probe["duration_seconds"] == {"p50": 2, "p95": 2, "p99": 2}
    assert probe["start_latency_seconds"]["p50"] == 1


async def test_dead_letters_that_match_are_retried_and_the_others_stay(ask, add, look) -> None:
    busy, other = await add(DEAD), await add(DEAD.replace("busy", "gone"))
    asked = {"filter": {"kinds": ["health.probe"], "error_code": "busy"}}
    assert await ask("/retry", {**asked, "dry_run": True}) == {"jobs": 1, "more": False, "dry_run": True}
    assert (await look(busy)).state == "discarded"
    assert await ask("/retry", asked) == {"jobs": 1, "more": False, "dry_run": False}
    job = await look(busy)
    assert (job.state, job.attempt, job.finished_at) == ("available", 0, None)
    assert (await look(other)).state == "discarded"


async def test_a_bulk_retry_makes_way_for_what_has_the_unique_key(ask, add, look) -> None:
    older, newer = await add(DEAD, unique_key="a"), await add(DEAD, unique_key="a")
    blocked = await add(DEAD, unique_key="b")
    await add(unique_key="b")
    assert (await ask("/retry", {"filter": {"queues": ["default"]}}))["jobs"] == 1
    assert [(await look(one)).state for one in (older, newer, blocked)] == ["discarded", "available", "discarded"]


async def test_waiting_jobs_are_discarded_and_running_ones_left_alone(ask, add, look) -> None:
    waiting, later = await add(), await add(run_at=utc_now() + timedelta(hours=1))
    running = await add("state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h'")
    assert (await ask("/discard", {"filter": {"kinds": ["health.probe"]}, "limit": 1})) == {
        "jobs": 1,
        "more": True,
        "dry_run": False,
    }
    assert ((await look(waiting)).state, (await look(later)).state) == ("discarded", "scheduled")
    assert (await ask("/discard", {"filter": {"job_ids": [later, running]}}))["jobs"] == 1
    assert ((await look(later)).state, (await look(running)).state) == ("discarded", "running")
    assert (await look(later)).errors[-1]["code"] == "discarded_by_operator"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/retry", {"filter": {}}),
        ("/retry", {}),
        ("/discard", {"filter": {"kinds": []}}),
        ("/discard", {"filter": {"colour": "red"}}),
        ("/retry", {"filter": {"kinds": ["a.b"]}, "limit": 10_001}),
        ("/pause", {"queue": "nothing"}),
    ],
)
async def test_what_makes_no_sense_is_refused(client, root, path: str, body: Any) -> None:
    answer = await client.post(f"/admin/jobs{path}", headers=root.headers, json=body)
    assert answer.status_code == 422, answer.text
