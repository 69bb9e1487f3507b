from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text


async def test_its_owner_reads_a_job(client, sign_up, add) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    answer = await client.get(f"/jobs/{job_id}", headers=ann.headers)
    assert answer.status_code == 200
    job = answer.json()
    assert (job["id"], job["kind"], job["state"], job["attempt"], job["errors"]) == (
        job_id,
        "health.probe",
        "available",
        0,
        [],
    )
    assert job["created_by"] == str(ann.user_id)
    assert "args" not in job
    assert job["links"] == {
        "self": f"/jobs/{job_id}",
        "events": f"/jobs/{job_id}/events",
        "cancel": f"/jobs/{job_id}/cancel",
    }


async def test_an_attempt_s_error_is_shown_as_a_code_without_the_worker_s_name(client, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    parts = "'at', '2026-01-01', 'attempt', 1, 'code', 'busy', 'message', 'Busy', 'duration', 0.5, 'worker', 'w/1'"
    await put(job_id, f"errors = jsonb_build_array(jsonb_build_object({parts}))")
    job = (await client.get(f"/jobs/{job_id}", headers=ann.headers)).json()
    assert job["errors"] == [{"attempt": 1, "at": "2026-01-01", "code": "busy", "message": "Busy", "duration": 0.5}]


async def test_a_job_of_somebody_else_or_of_nobody_is_not_found(client, sign_up, add, put) -> None:
    ann, bob = await sign_up(), await sign_up()
    foreign, system = await add(bob), await add(bob)
    await put(system, "created_by = NULL")
    for job_id in (foreign, system, uuid4()):
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
            answer = await client.request(method, f"/jobs/{job_id}{path}", headers=ann.headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_list_holds_ones_own_jobs_newest_first_in_pages(client, sign_up, add) -> None:
    ann, bob = await sign_up(), await sign_up()
    mine = [await add(ann) for _ in range(3)]
    await add(bob)
    first = (await client.get("/jobs?limit=2", headers=ann.headers)).json()
    rest = (await client.get(f"/jobs?limit=2&cursor={first['next_cursor']}", headers=ann.headers)).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == mine[::-1]
    assert rest["next_cursor"] is None


async def test_the_list_is_filtered_by_state_kind_queue_and_parent(client, sign_up, add, put) -> None:
    ann = await sign_up()
    done, waiting = await add(ann), await add(ann)
    await put(done, "state = 'completed', finished_at = now()")
    child = await add(ann, parent_id=done)

    async def ids(query: str) -> set[str]:
        answer = await client.get(f"/jobs?{query}", headers=ann.headers)
        assert answer.status_code == 200, answer.text
        return {job["id"] for job in answer.json()["items"]}

    assert await ids("state=completed") == {done}
    assert await ids("state=available&state=completed") == {done, waiting, child}
    assert await ids("kind=other.kind") == set()
    assert await ids("kind=health.probe&queue=default") == {done, waiting, child}
    assert await ids(f"parent_id={done}") == {child}
    await put(done, "created_at = '2026-01-01T00:00:00Z'")
    assert await ids("since=2026-01-01T00:00:00Z") == {done, waiting, child}
    assert await ids("since=2026-01-01T01:00:00%2B00:30") == {waiting, child}


@pytest.mark.parametrize(
    "query",
    [
        "state=odd",
        "kind=%00",
        "queue=A",
        "parent_id=1",
        "limit=0",
        "sort=kind",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(client, sign_up, query: str) -> None:
    ann = await sign_up()
    assert (await client.get(f"/jobs?{query}", headers=ann.headers)).status_code == 422


async def test_cancelling_a_waiting_job_ends_it(client, sign_up, add) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    for _ in range(2):  # a repeat changes nothing
        job = (await client.post(f"/jobs/{job_id}/cancel", headers=ann.headers)).json()
        assert (job["state"], job["finished_at"] is None) == ("cancelled", False)


async def test_cancelling_a_running_job_notes_the_wish(client, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    await put(job_id, "state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h'")
    job = (await client.post(f"/jobs/{job_id}/cancel", headers=ann.headers)).json()
    assert job["state"] == "running"
    assert job["cancel_requested_at"] is not None


async def test_a_job_that_has_ended_cannot_be_cancelled(client, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    await put(job_id, "state = 'completed', finished_at = now()")
    answer = await client.post(f"/jobs/{job_id}/cancel", headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_ended")


async def test_a_discarded_job_is_tried_again_with_all_its_attempts(client, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    await put(job_id, "state = 'discarded', finished_at = now(), attempt = 5, deaths = 3, deadline_at = now()")
    job = (await client.post(f"/jobs/{job_id}/retry", headers=ann.headers)).json()
    assert (job["state"], job["attempt"], job["finished_at"], job["deadline_at"]) == ("available", 0, None, None)


async def test_only_a_discarded_job_is_tried_again(client, sign_up, add) -> None:
    ann = await sign_up()
    answer = await client.post(f"/jobs/{await add(ann)}/retry", headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_discarded")


async def test_a_retry_makes_way_for_a_live_job_with_its_unique_key(client, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann, unique_key="one")
    await put(job_id, "state = 'discarded', finished_at = now()")
    await add(ann, unique_key="one")
    answer = await client.post(f"/jobs/{job_id}/retry", headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_key_taken")


async def test_a_superuser_reads_and_cancels_every_job(client, sign_up, add, app) -> None:
    ann, root = await sign_up(), await sign_up()
    async with app.state.database.transaction() as session:  # before its first request: callers are cached for a second
        await session.execute(text("UPDATE users SET is_superuser = true WHERE id = :id"), {"id": root.user_id})
    job_id = await add(ann)
    assert (await client.post(f"/jobs/{job_id}/cancel", headers=root.headers)).json()["state"] == "cancelled"
