"""What goes out over HTTP, and comes in again elsewhere."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

import app.transfer.jobs  # noqa: F401  registers the handler
from app.access.scope import Scope
from app.kit.clock import utc_now
from app.transfer import exports
from app.worker.testing import run_jobs_until_idle

BOARD = {
    "name": "Garden",
    "lists": [{"id": "l1", "name": "Doing", "closed": False}, {"id": "l2", "name": "Done", "closed": True}],
    "labels": [{"id": "b1", "name": "spring", "color": "green"}],
    "members": [{"id": "m", "fullName": "Grace Hopper", "username": "grace"}],
    "checklists": [
        {"id": "k", "idCard": "c1", "name": "Steps", "checkItems": [{"id": "i", "name": "=SUM(A1)", "state": "complete"}]}
    ],
    "actions": [
        {
            "type": "commentCard", "date": "2024-05-01T10:00:00.000Z", "memberCreator": {"fullName": "Grace Hopper"},
            "data": {"text": 'Mind the\nfrost, | and "quotes"', "card": {"id": "c1"}},
        }
    ],
    "cards": [
        {
            "id": "c1", "name": "@Sow é 🌱", "desc": "- one\r\n- two", "idList": "l1", "closed": False, "due": "2030-04-01T10:00:00Z",
            "dueComplete": False, "idLabels": ["b1"], "idMembers": ["m"],
        },
        {"id": "c2", "name": "'quoted'", "desc": "", "idList": "l2", "closed": True, "idLabels": [], "idMembers": []},
    ],
}  # fmt: skip
OWN = {"id", "key", "workspace_id", "project_id", "section_id", "parent_id", "created_by", "updated_at", "version"}
"""What another workspace gives anew."""


@pytest.fixture
def bring(client, settings):
    async def bring(account: Any, name: str, content: bytes) -> dict[str, Any]:
        answer = await client.post("/tasks/import", files={"file": (name, content)}, headers=account.headers)
        assert answer.status_code == 202, answer.text
        await run_jobs_until_idle(settings)
        job = (await client.get(answer.headers["Location"], headers=account.headers)).json()
        assert (job["state"], job["result"]["errors"]) == ("completed", []), job
        return job["result"]

    return bring


@pytest.fixture
def export(client):
    async def export(account: Any, **params: Any) -> httpx2.Response:
        answer = await client.get("/tasks/export", params=params, headers=account.headers)
        assert answer.status_code == 200, answer.text
        return answer

    return export


@pytest.fixture
async def garden(ada, bring, client) -> Any:
    """Ada's tasks: of everything that a task can have, something."""
    await bring(ada, "board.json", json.dumps(BOARD).encode())
    assert (
        await client.post(
            "/tasks",
            json={
                "title": "Water", "priority": "high", "estimate_minutes": 5, "due_at": "2030-01-01T06:00:00Z",
                "recurrence": {"rrule": "FREQ=DAILY", "time_zone": "Europe/Berlin"},
            },
            headers=ada.headers,
        )
    ).status_code == 201  # fmt: skip
    return ada


def content(exported: bytes) -> list[dict[str, Any]]:
    """The tasks of a JSON export without what belongs to one workspace, a parent by its title."""
    tasks = json.loads(exported)["tasks"]
    titles = {task["id"]: task["title"] for task in tasks}
    return [
        {name: value for name, value in task.items() if name not in OWN} | {"parent": titles.get(task.get("parent_id"))}
        for task in tasks
    ]


@pytest.mark.parametrize("kind", ["json", "csv"])
async def test_our_own_export_comes_back_unchanged(garden, bob, bring, export, kind) -> None:
    before = await export(garden, format=kind)
    result = await bring(bob, f"export.{kind}", before.content)

    assert (result["tasks"], result["warnings"]) == (4, [])
    mine, theirs = [content((await export(one, format="json")).content) for one in (garden, bob)]
    assert theirs == mine
    assert len(mine) == 4


async def test_no_cell_of_the_csv_is_a_formula(garden, export) -> None:
    answer = await export(garden, format="csv")

    assert answer.headers["Content-Type"].startswith("text/csv")
    assert ",=SUM" not in answer.text
    assert "'=SUM(A1)" in answer.text


async def test_the_file_has_a_name_and_a_type(garden, export) -> None:
    for kind, media_type, ending in (
        ("json", "application/json", "json"),
        ("todotxt", "text/plain", "txt"),
        ("icalendar", "text/calendar", "ics"),
    ):
        answer = await export(garden, format=kind)
        assert answer.headers["Content-Type"].startswith(media_type)
        assert answer.headers["Content-Disposition"].endswith(f'.{ending}"')


@pytest.mark.parametrize(("kind", "name"), [("icalendar", "tasks.ics"), ("todotxt", "todo.txt")])
async def test_other_formats_come_back_as_far_as_they_go(garden, bob, bring, export, kind, name) -> None:
    before = await export(garden, format=kind)
    await bring(bob, name, before.content)

    theirs = content((await export(bob)).content)
    # A word with an at sign is a context in todo.txt, so it comes back as a label.
    sow = "@Sow é 🌱" if kind == "icalendar" else "é 🌱"
    assert {task["title"] for task in theirs} == {"'quoted'", "=SUM(A1)", "Water", sow}
    water = next(task for task in theirs if task["title"] == "Water")
    assert (water["priority"], water["due_at"][:10]) == ("high", "2030-01-01")


@pytest.mark.parametrize(("kind", "name"), [("icalendar", "tasks.ics"), ("todotxt", "todo.txt")])
async def test_a_subtask_is_below_its_task_again(garden, bob, bring, export, kind, name) -> None:
    before = await export(garden, format=kind)
    result = await bring(bob, name, before.content)

    theirs = {task["title"]: task["parent"] for task in content((await export(bob)).content)}
    assert result["subtasks"] == 1
    assert theirs["=SUM(A1)"] in {"@Sow é 🌱", "é 🌱"}


async def test_others_tasks_and_the_trash_stay_inside(garden, bob, client, export) -> None:
    water = (await client.get("/tasks", params={"q": "Water"}, headers=garden.headers)).json()["items"][0]
    assert (await client.delete(f"/tasks/{water['id']}", headers=garden.headers)).status_code == 204

    assert content((await export(bob)).content) == []
    assert "Water" not in {task["title"] for task in content((await export(garden)).content)}


async def test_one_project_goes_out_alone(garden, bob, client, export) -> None:
    projects = {
        one["name"]: one["id"] for one in (await client.get("/projects", headers=garden.headers)).json()["items"]
    }
    answer = await export(garden, project=projects["Inbox"])

    assert [task["title"] for task in content(answer.content)] == ["Water"]
    assert content((await export(bob, project=projects["Inbox"])).content) == []


async def test_what_changes_meanwhile_is_not_in_the_file(garden, app) -> None:
    scope = Scope({garden.workspace_id: "owner"})
    export = await exports.begin(app.state.database, scope, "json", None, utc_now())
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE tasks SET title = 'changed'"))

    assert b"changed" not in b"".join([part async for part in export.body()])


async def test_an_export_takes_no_more_memory_when_there_is_more_of_it(ada, app) -> None:
    async with app.state.database.transaction() as session:
        await session.execute(text("SET LOCAL statement_timeout = 0"))
        await session.execute(
            text("""
                INSERT INTO tasks (id, workspace_id, project_id, key, number, title, description, status, priority, position)
                SELECT gen_random_uuid(), p.workspace_id, p.id, 'INBOX-' || n, n, 'Task ' || n, repeat('word ', 400), 'todo',
                    'none', n
                FROM projects p, generate_series(1, 4000) n""")
        )
    scope = Scope({ada.workspace_id: "owner"})
    size = 0
    tracemalloc.start()
    try:
        export = await exports.begin(app.state.database, scope, "json", None, utc_now())
        async for part in export.body():
            size += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > 8_000_000
    assert peak < size / 2
