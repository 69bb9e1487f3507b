"""From the request over the job to the rows: what a client sees of an import."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text

import app.transfer.jobs  # noqa: F401  registers the handler
from app.worker.testing import run_jobs_until_idle
from tests.transfer.test_shared_data import BROKEN, COUNTS, DATA

TODOIST = (
    "TYPE,CONTENT,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE\r\n"
    "section,Beds,,,,,,,\r\n"
    "task,Sow the beans @spring,1,1,,,2030-04-01,en,\r\n"
    "task,Soak them,4,2,,,,en,\r\n"
    "note,Overnight,,,,,,,\r\n"
    "task,Broken, by a comma,4,1,,,,en,,\r\n"
)
Run = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def send(api):
    """Sends a file; the answer."""

    async def send(
        name: str, content: bytes | str, headers: dict[str, str] | None = None, **fields: str
    ) -> httpx2.Response:
        return await api.post("/tasks/import", files={"file": (name, content)}, data=fields, headers=headers or {})

    return send


@pytest.fixture
def run(send, api, settings) -> Run:
    """Sends a file and runs its job; the job when it has ended."""

    async def run(name: str, content: bytes | str, **fields: str) -> dict[str, Any]:
        answer = await send(name, content, **fields)
        assert answer.status_code == 202, answer.text
        await run_jobs_until_idle(settings)
        return (await api.get(answer.headers["Location"])).json()

    return run


@pytest.fixture
def tasks(api):
    """All live tasks by title, archived ones too."""

    async def tasks() -> dict[str, dict[str, Any]]:
        items: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": 100, "archived": "any", "expand": "labels"}
        while True:
            page = (await api.get("/tasks", params=params)).json()
            items += page["items"]
            if page["next_cursor"] is None:
                return {task["title"]: task for task in items}
            params["cursor"] = page["next_cursor"]

    return tasks


async def test_good_rows_come_in_and_the_broken_one_is_named(run, tasks, api) -> None:
    job = await run("garden.csv", TODOIST)

    assert job["state"] == "completed"
    result = job["result"]
    assert {name: result[name] for name in ("format", "tasks", "subtasks", "sections", "labels", "comments", "due")} == {
        "format": "todoist-csv", "tasks": 2, "subtasks": 1, "sections": 1, "labels": 1, "comments": 1, "due": 1,
    }  # fmt: skip
    assert [error["row"] for error in result["errors"]] == [6]
    there = await tasks()
    assert set(there) == {"Sow the beans", "Soak them"}
    bean, soak = there["Sow the beans"], there["Soak them"]
    assert (bean["priority"], bean["labels"][0]["name"], soak["parent_id"]) == ("urgent", "spring", bean["id"])
    assert bean["section_id"] is not None
    comments = (await api.get(f"/tasks/{soak['id']}/comments")).json()["items"]
    assert [comment["body"] for comment in comments] == ["Overnight"]
    history = (await api.get(f"/tasks/{soak['id']}/history")).json()["items"]
    assert {entry["action"] for entry in history} == {"created"}


async def test_with_abort_one_error_keeps_everything_out(run, tasks) -> None:
    job = await run("garden.csv", TODOIST, on_error="abort")

    assert (job["state"], job["errors"][-1]["code"]) == ("discarded", "import_aborted")
    assert job["result"]["tasks"] == 0
    assert [error["row"] for error in job["result"]["errors"]] == [6]
    assert await tasks() == {}


async def test_a_dry_run_counts_and_brings_nothing_in(run, tasks) -> None:
    job = await run("garden.csv", TODOIST, dry_run="true")

    assert (job["state"], job["result"]["tasks"]) == ("completed", 2)
    assert await tasks() == {}


async def test_a_dry_run_warns_of_what_is_there_already(run) -> None:
    await run("garden.csv", TODOIST)
    again = await run("garden.csv", TODOIST, dry_run="true")

    assert {"code": "likely_duplicates", "count": 2} in [
        {key: warning.get(key) for key in ("code", "count")} for warning in again["result"]["warnings"]
    ]


@pytest.mark.parametrize("dry_run", ["false", "true"])
async def test_more_bad_rows_than_a_result_can_name_keep_no_good_one_out(run, tasks, dry_run) -> None:
    job = await run("list.csv", "title,note\n" + ",nothing\n" * 2000 + "Sow,now\n", dry_run=dry_run)

    result = job["result"]
    assert (job["state"], result["tasks"], result["error_count"]) == ("completed", 1, 2000)
    named = [error["row"] for error in result["errors"]]
    assert named == [*range(2, 2 + len(named))]
    assert 100 < len(named) < 2000
    assert set(await tasks()) == ({"Sow"} if dry_run == "false" else set())


async def test_the_same_request_twice_imports_once(send, tasks, settings) -> None:
    key = {"Idempotency-Key": "import-1"}
    first = await send("todo.txt", "(A) Call Mum +family @phone\n", headers=key)
    again = await send("todo.txt", "(A) Call Mum +family @phone\n", headers=key)

    assert first.json()["id"] == again.json()["id"]
    assert await run_jobs_until_idle(settings) == 1
    assert len(await tasks()) == 1


async def test_one_key_for_two_files_is_refused(send) -> None:
    key = {"Idempotency-Key": "import-1"}
    await send("todo.txt", "One\n", headers=key)
    other = await send("todo.txt", "Two\n", headers=key)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_tasks_without_a_project_go_where_the_request_says(run, tasks, api) -> None:
    project = (await api.post("/projects", json={"name": "Garden"})).json()
    await run("todo.txt", "Water the roses\nCall Mum +family\n", project_id=project["id"])

    there = await tasks()
    assert there["Water the roses"]["project_id"] == project["id"]
    assert there["Call Mum"]["project_id"] != project["id"]
    names = [one["name"] for one in (await api.get("/projects")).json()["items"]]
    assert sorted(names) == ["Garden", "Inbox", "family"]


async def test_an_attempt_that_is_repeated_makes_nothing_twice(run, tasks, settings, app, api) -> None:
    job = await run("todo.txt", "Water the roses\n")
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE jobs SET state = 'available', finished_at = NULL"))
    await run_jobs_until_idle(settings)

    again = (await api.get(f"/jobs/{job['id']}")).json()
    assert (again["state"], again["attempt"]) == ("completed", 2)
    assert len(await tasks()) == 1


async def test_people_become_assignees_when_they_are_members_and_are_kept_when_not(run, tasks, ada) -> None:
    board = {
        "name": "Board", "lists": [{"id": "l", "name": "Doing", "closed": False}], "labels": [], "checklists": [], "actions": [],
        "members": [
            {"id": "m1", "fullName": "Ada", "username": "ada@example.com"},
            {"id": "m2", "fullName": "Bob", "username": "bob@example.com"},
        ],
        "cards": [
            {"id": "c", "name": "Prune", "desc": "", "idList": "l", "closed": False, "idMembers": ["m1", "m2"], "idLabels": []}
        ],
    }  # fmt: skip
    job = await run("board.json", json.dumps(board))

    assert [warning["code"] for warning in job["result"]["warnings"]] == ["unknown_assignee"]
    task = (await tasks())["Prune"]
    assert "Bob" in json.dumps(task["source"])


@pytest.mark.parametrize(
    ("name", "content", "fields", "code"),
    [
        ("photo.jpg", b"\xff\xd8\xff\xe0 JFIF", {}, "unreadable_file"),
        ("tasks.csv", "a,b\n1,2\n", {"mapping": '{"title": 5}'}, "invalid_mapping"),
        ("todo.txt", "One\n", {"mapping": '{"title": "a"}'}, "invalid_mapping"),
        ("todo.txt", "One\n", {"format": "word"}, "validation_error"),
        ("todo.txt", "One\n", {"project_id": str(uuid4())}, "invalid_reference"),
    ],
)
async def test_what_can_be_seen_at_once_is_refused_at_once(send, app, name, content, fields, code) -> None:
    answer = await send(name, content, **fields)

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    async with app.state.database.session() as session:
        assert (
            await session.scalar(text("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM stored_files)")) == 0
        )


@pytest.mark.parametrize(
    ("content", "format_"),
    [
        (b"\xff\xd8\xff\xe0 JFIF", "todoist-csv"),
        (b"{}", "trello-json"),
        (b"[" * 100_000, "json"),
        (b"BEGIN:VCARD\r\nEND:VCARD\r\n", "icalendar"),
        (b"", "json"),
    ],
)
async def test_a_file_that_is_not_what_it_was_called_ends_the_job_with_a_code(run, tasks, content, format_) -> None:
    job = await run("file", content, format=format_)

    assert job["state"] == "discarded"
    assert job["errors"][-1]["code"] in {"wrong_file_format", "unreadable_file"}
    assert job["result"]["tasks"] == 0
    assert await tasks() == {}


async def test_a_file_over_the_limit_is_refused(app, api, send) -> None:
    limit = app.state.settings.import_max_bytes
    answer = await send("todo.txt", b"x" * (limit + 1_000_000))

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_project_that_is_deleted_before_the_job_runs_ends_it(send, api, settings, tasks) -> None:
    project = (await api.post("/projects", json={"name": "Garden"})).json()
    answer = await send("todo.txt", "One\n", project_id=project["id"])
    assert (await api.delete(f"/projects/{project['id']}")).status_code == 204
    await run_jobs_until_idle(settings)

    job = (await api.get(answer.headers["Location"])).json()
    assert (job["state"], job["errors"][-1]["code"]) == ("discarded", "project_gone")
    assert await tasks() == {}


@pytest.mark.skipif(not DATA.is_dir(), reason="the collection of real files is not beside this repository")
@pytest.mark.parametrize("name", COUNTS)
async def test_a_real_file_comes_in_as_counted(run, app, name: str) -> None:
    job = await run(Path(name).name, (DATA / name).read_bytes())

    assert job["state"] == "completed", job
    assert {key: job["result"][key] for key in COUNTS[name]} == COUNTS[name]
    assert len(job["result"]["errors"]) == BROKEN.get(name, 0)
    counts = """
        SELECT count(*) AS tasks, count(parent_id) AS subtasks, count(*) FILTER (WHERE status = 'done') AS done,
            count(archived_at) AS archived, count(due_at) AS due, count(recurrence) AS recurring,
            (SELECT count(*) FROM comments) AS comments, (SELECT count(DISTINCT label_id) FROM task_labels) AS labels,
            (SELECT count(*) FROM task_reminders) AS reminders, (SELECT count(*) FROM sections) AS sections,
            (SELECT count(*) FROM projects WHERE NOT is_inbox) AS projects
        FROM tasks"""
    async with app.state.database.session() as session:
        rows = (await session.execute(text(counts))).mappings().one()
    assert dict(rows) == {key: job["result"][key] for key in rows}
