"""`/schedules` over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.kit.clock import utc_now
from app.models import WorkspaceMember
from app.schedules import clock, repository
from app.schedules.builtin import BUILT_IN
from app.worker.testing import run_jobs_until_idle

NIGHTLY = {"name": "Digest", "kind": "tests.digest", "cron": "30 2 * * *", "time_zone": "Europe/Berlin"}


async def make(api, **fields):
    answer = await api.post("/schedules", json={**NIGHTLY, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def overdue(rows):
    async def overdue(schedule: dict) -> None:
        await rows("UPDATE schedules SET next_slot = now() - interval '1 second' WHERE id = :id", id=schedule["id"])

    return overdue


@pytest.fixture
async def root(client, sign_up, rows):
    """A superuser."""
    account = await sign_up()
    await rows("UPDATE users SET is_superuser = true WHERE id = :id", id=account.user_id)
    return account


@pytest.fixture
async def built_in(line, rows, root, client):
    """The schedule of that name which comes with the product, as a superuser finds it."""
    await clock.put_built_in(line.fetch, BUILT_IN)
    found = (await client.get("/schedules", headers=root.headers)).json()["items"]
    return {schedule["name"]: schedule for schedule in found}["cleanup"]


@pytest.fixture
def join(session):
    async def join(account, workspace_id, role: str) -> None:
        session.add(WorkspaceMember(workspace_id=workspace_id, user_id=account.user_id, role=role))
        await session.commit()

    return join


async def test_a_schedule_is_made_in_the_personal_workspace_and_first_runs_at_its_next_slot(api, ada, rows):
    answer = await api.post("/schedules", json={**NIGHTLY, "args": {"days": 30}})
    schedule = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert answer.headers["location"] == f"/schedules/{schedule['id']}"
    assert (schedule["workspace_id"], schedule["created_by"]) == (str(ada.workspace_id), str(ada.user_id))
    assert schedule["args"] == {"project_id": None, "days": 30}
    assert (schedule["misfire"], schedule["overlap"], schedule["paused_at"]) == ("run_once", "skip", None)
    assert (await api.get(answer.headers["location"])).json() == schedule
    ((waits,),) = await rows("SELECT next_slot > now() FROM schedules")
    assert waits


@pytest.mark.parametrize(
    "rule",
    [
        {"interval_seconds": 3600},
        {"rrule": "FREQ=MONTHLY;BYDAY=-1FR"},
        {"cron": "0 8 * * mon", "starts_at": "2027-01-01T00:00:00Z"},
    ],
)
async def test_each_kind_of_rule_is_kept_as_it_was_given(api, rule):
    schedule = await make(api, **{"cron": None, **rule})
    assert {name: schedule[name] for name in rule} == rule
    assert (schedule["starts_at"] is None) == ("interval_seconds" in rule)


REFUSED = [
    ({"kind": "tasks.import"}, "/kind", "kind_not_schedulable"),
    ({"kind": "no.such"}, "/kind", "kind_not_schedulable"),
    ({"args": {"days": "seven"}}, "/args/days", "int_type"),
    ({"args": {"project_id": "x"}}, "/args/project_id", "uuid_parsing"),
    ({"args": {"weeks": 1}}, "/args/weeks", "extra_forbidden"),
    ({"args": {"weeks": "\x00"}}, "/args", "nul_character"),
    ({"cron": None}, "/cron", "one_rule"),
    ({"interval_seconds": 60}, "/interval_seconds", "one_rule"),
    ({"cron": None, "interval_seconds": 1}, "/interval_seconds", "greater_than_equal"),
    ({"cron": "61 * * * *"}, "/cron", "invalid_cron"),
    ({"cron": "0 0 30 2 *"}, "/cron", "rule_never_fires"),
    ({"cron": None, "rrule": "FREQ=SECONDLY"}, "/rrule", "invalid_rrule"),
    ({"cron": None, "rrule": "FREQ=DAILY;COUNT=1000000"}, "/rrule", "invalid_rrule"),
    ({"cron": None, "rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "/rrule", "rule_never_fires"),
    ({"time_zone": "Mars/Olympus"}, "/time_zone", "unknown_time_zone"),
    ({"starts_at": "1990-01-01T00:00:00Z"}, "/starts_at", "out_of_range"),
    ({"misfire": "catch_up"}, "/misfire", "catch_up_overlaps"),
    ({"jitter_seconds": 3601}, "/jitter_seconds", "less_than_equal"),
    ({"name": " "}, "/name", "blank"),
    ({"workspace_id": str(uuid4())}, "/workspace_id", "invalid_reference"),
]


@pytest.mark.parametrize(("fields", "pointer", "code"), REFUSED)
async def test_what_is_wrong_is_refused_with_a_pointer(api, rows, fields, pointer, code):
    answer = await api.post("/schedules", json={**NIGHTLY, **fields})
    assert answer.status_code == 422, answer.text
    found = answer.json()["errors"][0]
    assert (found["pointer"], found["code"]) == (pointer, code)
    assert await rows("SELECT 1 FROM schedules") == []


async def test_args_that_no_job_could_hold_are_refused(api):
    body = json.dumps({**NIGHTLY, "args": {"x": "\ud800"}})
    answer = await api.post("/schedules", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "surrogate"


async def test_a_name_is_one_of_its_kind_in_a_workspace(api, client, bob):
    await make(api)
    await make(api, name="Other")
    answers = await asyncio.gather(*(api.post("/schedules", json={**NIGHTLY, "name": "Twin"}) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    twin = next(answer.json() for answer in answers if answer.status_code == 201)
    answer = await api.patch(f"/schedules/{twin['id']}", json={"name": "Other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "schedule_exists")
    assert (await client.post("/schedules", json=NIGHTLY, headers=bob.headers)).status_code == 201


FILL = (
    "INSERT INTO schedules (id, workspace_id, name, kind, args, interval_seconds)"
    " SELECT gen_random_uuid(), workspace_id, 'n' || n, kind, args, 60 FROM schedules, generate_series(2, :last) AS n"
)


async def test_a_workspace_has_a_hundred_schedules_at_most(api, rows):
    await make(api)
    await rows(FILL, last=100)
    answer = await api.post("/schedules", json={**NIGHTLY, "name": "One more"})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_schedules")


async def test_two_that_are_made_at_once_do_not_both_become_the_hundredth(api, rows, session, ada):
    await make(api)
    await rows(FILL, last=99)
    assert await repository.count(session, ada.workspace_id) == 99
    await session.execute(text(FILL.replace("'n' || n", "'other'") + " LIMIT 1"), {"last": 2})
    answer = asyncio.create_task(api.post("/schedules", json={**NIGHTLY, "name": "One more"}))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not answer.done() and await rows(waiting) == [(0,)]:
        await asyncio.sleep(0.01)
    await session.commit()
    assert (await answer).json()["code"] == "too_many_schedules"


async def test_a_repeat_with_one_idempotency_key_makes_one(api, rows):
    answers = [await api.post("/schedules", json=NIGHTLY, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert await rows("SELECT count(*) FROM schedules") == [(1,)]


async def test_of_somebody_else_nothing_is_found(api, client, bob, built_in):
    mine = await make(api)
    for schedule_id in (mine["id"], built_in["id"], str(uuid4())):
        for method, path in (
            ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/runs"), ("GET", "/preview"),
            ("POST", "/trigger"), ("POST", "/pause"), ("POST", "/resume"),
        ):  # fmt: skip
            body = {"json": {"name": "x"}} if method == "PATCH" else {}
            answer = await client.request(method, f"/schedules/{schedule_id}{path}", headers=bob.headers, **body)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)
    assert (await client.get("/schedules", headers=bob.headers)).json()["items"] == []


async def test_members_see_a_schedule_its_owner_and_administrators_change_it(api, client, ada, bob, sign_up, join):
    schedule = await make(api)
    eve = await sign_up()
    await join(bob, ada.workspace_id, "member")
    await join(eve, ada.workspace_id, "admin")
    path = f"/schedules/{schedule['id']}"
    assert (await client.get(path, headers=bob.headers)).json() == schedule
    for method, action in (("POST", "/pause"), ("DELETE", ""), ("POST", "/trigger")):
        answer = await client.request(method, path + action, headers=bob.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "role_too_low")
    assert (await client.post(f"{path}/pause", headers=eve.headers)).status_code == 200


async def test_a_patch_touches_only_what_was_sent(api, rows):
    schedule = await make(api, args={"days": 30})
    path = f"/schedules/{schedule['id']}"
    renamed = await api.patch(path, json={"name": "Nightly"}, headers={"If-Match": '"1"'})
    assert renamed.headers["etag"] == '"2"'
    assert renamed.json() | {"name": "Digest", "version": 1, "updated_at": schedule["updated_at"]} == schedule
    stale = await api.patch(path, json={"name": "Other"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
    refused = await api.patch(path, json={"args": {"days": "x"}})
    assert refused.json()["errors"][0]["pointer"] == "/args/days"
    assert (await api.get(path, headers={"If-None-Match": '"2"'})).status_code == 304


async def test_one_rule_replaces_another_and_runs_at_its_own_next_slot(api, rows):
    schedule = await make(api)
    path = f"/schedules/{schedule['id']}"
    changed = (await api.patch(path, json={"interval_seconds": 86_400})).json()
    assert (changed["cron"], changed["interval_seconds"], changed["rrule"]) == (None, 86_400, None)
    assert await rows("SELECT extract(epoch FROM next_slot)::int % 86400, next_slot > now() FROM schedules") == [
        (0, True)
    ]
    assert (await api.patch(path, json={"interval_seconds": None})).status_code == 422
    both = await api.patch(path, json={"cron": "0 0 * * *", "rrule": "FREQ=DAILY"})
    assert both.json()["errors"][0]["code"] == "one_rule"
    assert (await api.patch(path, json={"misfire": "catch_up"})).json()["errors"][0]["code"] == "catch_up_overlaps"
    assert (await api.patch(path, json={"misfire": "catch_up", "overlap": "queue"})).status_code == 200


async def test_what_is_due_by_the_old_rule_is_handled_before_the_new_one_counts(api, rows, overdue, outcomes):
    schedule = await make(api)
    await overdue(schedule)
    assert (await api.patch(f"/schedules/{schedule['id']}", json={"cron": "0 5 * * *"})).status_code == 200
    assert await outcomes() == ["enqueued"]
    assert await rows("SELECT count(*) FROM jobs WHERE state = 'available'") == [(1,)]


async def test_a_change_after_a_long_outage_loses_none_of_the_slots_before_it(api, rows):
    schedule = await make(api, cron=None, interval_seconds=10)
    await rows("UPDATE schedules SET next_slot = date_trunc('minute', now()) - interval '5 hours'")
    assert (await api.patch(f"/schedules/{schedule['id']}", json={"interval_seconds": 60})).status_code == 200
    ((enqueued, missed),) = await rows(
        "SELECT sum(slots) FILTER (WHERE outcome = 'enqueued'), sum(slots) FILTER (WHERE outcome = 'missed') FROM schedule_runs"
    )
    assert (enqueued, missed >= 1800) == (1, True)


@pytest.mark.parametrize("broken", ["cron = 'nonsense'", "time_zone = 'Moon/Base'", "kind = 'tests.gone'"])
async def test_a_schedule_that_is_not_understood_any_more_can_be_changed_and_paused(api, rows, overdue, broken):
    schedule = await make(api)
    await overdue(schedule)
    await rows(f"UPDATE schedules SET {broken}")
    path = f"/schedules/{schedule['id']}"
    assert (await api.post(f"{path}/pause")).status_code == 200
    assert (await api.patch(path, json={"cron": "0 5 * * *", "time_zone": "UTC"})).status_code == 200
    assert (await api.post(f"{path}/trigger")).status_code == (422 if "kind" in broken else 202)


async def test_a_slot_s_job_has_the_workspace_the_owner_and_the_args(api, ada, line, overdue, settings):
    schedule = await make(api, args={"days": 30})
    await overdue(schedule)
    assert await clock.tick(line.fetch) == {"reports": 1}
    assert await run_jobs_until_idle(settings) == 1
    (run,) = (await api.get(f"/schedules/{schedule['id']}/runs")).json()["items"]
    assert (run["outcome"], run["job_state"], run["slots"]) == ("enqueued", "completed", 1)
    job = (await api.get(f"/jobs/{run['job_id']}")).json()
    assert job["result"] == {"workspace_id": str(ada.workspace_id), "created_by": str(ada.user_id), "days": 30}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET is_active = false WHERE id = :id",
        "UPDATE workspace_members SET role = 'viewer' WHERE user_id = :id",
        "DELETE FROM workspace_members WHERE user_id = :id",
    ],
)
async def test_for_an_owner_who_may_not_work_there_any_more_no_job_is_made(
    api, ada, line, rows, overdue, outcomes, change
):
    schedule = await make(api)
    await overdue(schedule)
    await rows(change, id=ada.user_id)
    assert await clock.tick(line.fetch) == {}
    assert await outcomes() == ["owner_gone"]


async def test_the_runs_are_listed_latest_first_in_pages_and_by_outcome(api, line, rows):
    schedule = await make(api, cron=None, interval_seconds=60)
    await rows("UPDATE schedules SET next_slot = date_trunc('minute', now()) - interval '4 minutes'")
    await clock.tick(line.fetch)
    path = f"/schedules/{schedule['id']}/runs"
    first = (await api.get(path, params={"limit": 2})).json()
    rest = (await api.get(path, params={"cursor": first["next_cursor"], "limit": 2})).json()
    last = (await api.get(path, params={"cursor": rest["next_cursor"], "limit": 2})).json()
    found = first["items"] + rest["items"] + last["items"]
    assert [run["outcome"] for run in found] == ["enqueued", "missed", "missed", "missed", "missed"]
    assert found == sorted(found, key=lambda run: run["slot"], reverse=True)
    missed = (await api.get(path, params={"outcome": "missed", "count": "true"})).json()
    assert (missed["total_count"], missed["items"]) == (4, found[1:])


async def test_pausing_stops_it_and_resuming_makes_up_for_nothing(api, line, overdue, outcomes):
    schedule = await make(api)
    path = f"/schedules/{schedule['id']}"
    paused = await api.post(f"{path}/pause")
    assert (paused.status_code, paused.headers["etag"]) == (200, '"2"')
    assert paused.json()["paused_at"] is not None
    assert (await api.post(f"{path}/pause")).json() == paused.json()
    await overdue(schedule)
    resumed = await api.post(f"{path}/resume")
    assert (resumed.json()["paused_at"], resumed.headers["etag"]) == (None, '"3"')
    assert await clock.tick(line.fetch) == {}
    assert await outcomes() == ["paused"]


async def test_a_trigger_makes_a_job_now_and_is_written_down(api, ada, settings, outcomes):
    schedule = await make(api)
    path = f"/schedules/{schedule['id']}"
    await api.post(f"{path}/pause")
    answer = await api.post(f"{path}/trigger")
    assert (answer.status_code, answer.headers["location"]) == (202, f"/jobs/{answer.json()['id']}")
    assert (answer.json()["kind"], answer.json()["created_by"]) == ("tests.digest", str(ada.user_id))
    busy = await api.post(f"{path}/trigger")
    assert (busy.status_code, busy.json()["code"]) == (409, "schedule_busy")
    assert await run_jobs_until_idle(settings) == 1
    assert (await api.post(f"{path}/trigger")).status_code == 202
    assert await outcomes() == ["triggered", "triggered"]


async def test_of_triggers_at_one_moment_one_makes_a_job(api, rows):
    schedule = await make(api)
    answers = await asyncio.gather(*(api.post(f"/schedules/{schedule['id']}/trigger") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    assert await rows("SELECT count(*) FROM jobs") == [(1,)]


async def test_a_slot_leaves_out_what_was_triggered_and_still_runs(api, line, overdue, outcomes):
    schedule = await make(api)
    await api.post(f"/schedules/{schedule['id']}/trigger")
    await overdue(schedule)
    assert await clock.tick(line.fetch) == {}
    assert sorted(await outcomes()) == ["skipped_overlap", "triggered"]


async def test_where_overlaps_are_allowed_it_can_be_triggered_again(api):
    schedule = await make(api, overlap="allow")
    for _ in range(2):
        assert (await api.post(f"/schedules/{schedule['id']}/trigger")).status_code == 202


async def test_a_preview_tells_the_slots_over_the_change_of_the_clocks(api):
    body = {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "starts_at": "2027-03-27T12:00:00Z", "count": 2}
    answer = await api.post("/schedules/preview", json=body)
    assert answer.json()["items"] == [
        {"slot": "2027-03-28T01:30:00Z", "local": "2027-03-28T03:30:00+02:00"},
        {"slot": "2027-03-29T00:30:00Z", "local": "2027-03-29T02:30:00+02:00"},
    ]


async def test_a_schedule_s_preview_begins_with_its_next_slot(api):
    schedule = await make(api, cron=None, interval_seconds=3600)
    found = (await api.get(f"/schedules/{schedule['id']}/preview", params={"count": 3})).json()["items"]
    listed = (await api.get("/schedules")).json()["items"]
    assert found[0]["slot"] == listed[0]["next_slot"]
    moments = [datetime.fromisoformat(one["slot"]) for one in found]
    assert moments[0] > utc_now()
    assert [two - one for one, two in pairwise(moments)] == [timedelta(hours=1)] * 2
    assert (await api.get(f"/schedules/{schedule['id']}/preview", params={"count": 51})).status_code == 422


async def test_a_rule_that_has_ended_has_no_next_slot(api, line, rows):
    tomorrow = (utc_now() + timedelta(days=1)).isoformat()
    schedule = await make(api, cron=None, rrule="FREQ=DAILY;COUNT=1", starts_at=tomorrow)
    await rows(
        "UPDATE schedules SET starts_at = starts_at - interval '2 days', next_slot = starts_at - interval '2 days'"
    )
    assert await clock.tick(line.fetch) == {"reports": 1}
    assert (await api.get("/schedules")).json()["items"][0]["next_slot"] is None
    assert (await api.get(f"/schedules/{schedule['id']}/preview")).json() == {"items": []}
    assert await clock.tick(line.fetch) == {}


async def test_a_deleted_schedule_is_gone_and_its_job_goes_on(api, rows, settings):
    schedule = await make(api)
    job = (await api.post(f"/schedules/{schedule['id']}/trigger")).json()
    assert (await api.delete(f"/schedules/{schedule['id']}", headers={"If-Match": '"9"'})).status_code == 412
    assert (await api.delete(f"/schedules/{schedule['id']}", headers={"If-Match": '"1"'})).status_code == 204
    assert (await api.get(f"/schedules/{schedule['id']}")).status_code == 404
    assert await rows("SELECT 1 FROM schedule_runs") == []
    assert await run_jobs_until_idle(settings) == 1
    assert (await api.get(f"/jobs/{job['id']}")).json()["state"] == "completed"


async def test_schedules_are_listed_by_name_and_filtered(api):
    for name in ("c", "a", "b"):
        schedule = await make(api, name=name)
    await api.post(f"/schedules/{schedule['id']}/pause")

    async def names(**params) -> list[str]:
        return [one["name"] for one in (await api.get("/schedules", params=params)).json()["items"]]

    assert await names() == ["a", "b", "c"]
    assert await names(sort="-name") == ["c", "b", "a"]
    assert await names(paused="true") == ["b"]
    assert await names(paused="false") == ["a", "c"]
    assert await names(kind="health.probe") == []
    assert await names(workspace=str(uuid4())) == []


async def test_each_change_is_recorded(api, rows):
    schedule = await make(api)
    await api.patch(f"/schedules/{schedule['id']}", json={"cron": "0 4 * * *"})
    await api.post(f"/schedules/{schedule['id']}/pause")
    await api.post(f"/schedules/{schedule['id']}/resume")
    await api.delete(f"/schedules/{schedule['id']}")
    found = await rows("SELECT action, version FROM changes WHERE resource = 'schedule' ORDER BY id")
    assert found == [("created", 1), ("updated", 2), ("paused", 3), ("resumed", 4), ("deleted", 5)]


async def test_an_operator_pauses_and_re_times_what_is_built_in_and_a_deploy_does_not_undo_it(
    client, root, built_in, line
):
    path = f"/schedules/{built_in['id']}"
    client.headers.update(root.headers)
    changed = (await client.patch(path, json={"cron": "0 4 * * *", "time_zone": "Europe/Berlin"})).json()
    assert (changed["cron"], changed["interval_seconds"], changed["retimed"]) == ("0 4 * * *", None, True)
    paused = (await client.post(f"{path}/pause")).json()
    await clock.put_built_in(line.fetch, BUILT_IN)
    assert (await client.get(path)).json() == paused
    back = (await client.patch(path, json={"retimed": False})).json()
    assert (back["cron"], back["interval_seconds"], back["retimed"], back["time_zone"]) == (None, 300, False, "UTC")
    assert back["paused_at"] is not None


async def test_what_is_built_in_cannot_be_made_into_something_else(client, root, built_in):
    path = f"/schedules/{built_in['id']}"
    for method, body in (
        ("PATCH", {"name": "x"}),
        ("PATCH", {"args": {}}),
        ("PATCH", {"overlap": "allow"}),
        ("DELETE", None),
    ):
        answer = await client.request(method, path, headers=root.headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "built_in_schedule")


async def test_an_operator_triggers_what_is_built_in(client, root, built_in, settings):
    answer = await client.post(f"/schedules/{built_in['id']}/trigger", headers=root.headers)
    assert (answer.status_code, answer.json()["kind"]) == (202, "maintenance.cleanup")
    assert await run_jobs_until_idle(settings) == 1
    job = (await client.get(answer.headers["location"], headers=root.headers)).json()
    assert job["state"] == "completed"


async def test_times_of_one_s_own_schedule_have_nothing_to_go_back_to(api):
    schedule = await make(api)
    answer = await api.patch(f"/schedules/{schedule['id']}", json={"retimed": False})
    assert answer.json()["errors"][0]["code"] == "not_built_in"
