from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from tests.processes import running


@pytest.fixture
def taskapi(database_url: str):
    async def taskapi(*arguments: str, url: str = database_url, room: str = "jobs") -> tuple[int, list[str]]:
        environment = {"DATABASE_URL": url, "LOG_LEVEL": "ERROR"}
        async with running(["app.cli", room, *arguments], environment) as process:
            return await process.exit_code(), process.lines

    return taskapi


async def test_a_job_is_enqueued_shown_listed_cancelled_and_retried(taskapi, database) -> None:
    code, (job_id,) = await taskapi("enqueue", "health.probe", "--unique-key", "once")
    assert code == 0
    assert (await taskapi("enqueue", "health.probe", "{}", "--unique-key", "once"))[1] == [job_id]
    shown = json.loads("".join((await taskapi("show", job_id))[1]))
    assert (shown["id"], shown["kind"], shown["state"]) == (job_id, "health.probe", "available")
    _, (head, *rows) = await taskapi("list", "--state", "available")
    assert head.split() == ["id", "kind", "queue", "state", "attempt", "created_at"]
    assert [row.split()[0] for row in rows] == [job_id]
    assert await taskapi("cancel", job_id) == (0, ["cancelled"])
    assert await taskapi("retry", job_id) == (1, ["jobs: Only a discarded job can be tried again"])
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET state = 'discarded'"))
    assert await taskapi("retry", job_id) == (0, ["available"])


async def test_queues_and_stats_are_tables_or_json(taskapi) -> None:
    await taskapi("enqueue", "health.probe")
    code, lines = await taskapi("queues")
    assert (code, len(lines)) == (0, 7)
    assert lines[2].split()[:3] == ["default", "1", "0"]
    queues = json.loads("".join((await taskapi("queues", "--json"))[1]))
    assert [queue["waiting"] for queue in queues] == [0, 1, 0, 0, 0, 0]
    code, lines = await taskapi("stats")
    assert (code, lines[-1]) == (0, "dead letters: 0")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("enqueue", "no.such"), "no kind 'no.such'"),
        (("enqueue", "health.probe", '{"colour": 1}'), "args: colour: Extra inputs are not permitted"),
        (("enqueue", "health.probe", "{"), "args: JSON: Invalid JSON"),
        (("show", "01981f6e-5a3c-7d2e-9a41-3f6f0c9d8b21"), "jobs: "),
        (("list", "--state", "odd"), "jobs: "),
    ],
)
async def test_what_cannot_be_done_is_one_line_and_exit_code_one(taskapi, arguments, said: str) -> None:
    code, lines = await taskapi(*arguments)
    assert (code, len(lines)) == (1, 1), lines
    assert said in lines[0]


@pytest.mark.parametrize(("room", "command"), [("jobs", "list"), ("mail", "suppressed")])
@pytest.mark.parametrize(("name", "said"), [("no_such_database", "does not exist"), ("postgres", "does not exist")])
async def test_a_database_that_is_not_ours_is_one_line(taskapi, database_url, room, command, name, said) -> None:
    code, lines = await taskapi(command, url=f"{database_url.rpartition('/')[0]}/{name}", room=room)
    assert (code, len(lines)) == (1, 1), lines
    assert said in lines[0]
