"""How many jobs that keep a file one person may have."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from app.infra.database import Database
from app.jobs.service import take_quota
from app.transfer.job_args import ExportArgs
from app.worker import enqueue

FILE = {"file": ("list.txt", b"Saucepans")}
ASKING = [("/tasks/import", {"files": FILE}), ("/tasks/export", {"json": {}}), ("/reports", {"json": {}})]


@pytest.mark.parametrize(("path", "body"), ASKING)
async def test_one_person_may_have_so_many_of_a_kind_and_others_theirs(
    api, client, settings, bob, database, path, body
) -> None:
    settings.jobs_per_user = 2
    answers = [await api.post(path, **body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].json()["code"] == "too_many_jobs"
    assert answers[2].headers["retry-after"] == "60"
    others = [one for one in ASKING if one[0] != path]
    assert [(await api.post(one, **more)).status_code for one, more in others] == [202, 202]
    assert (await client.post(path, **body, headers=bob.headers)).status_code == 202
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET state = 'completed', finished_at = now() - interval '5 days'"))
    days = {"/tasks/export": 2}.get(path, 25)
    refused = await api.post(path, **body)
    assert days * 86_400 - 600 < int(refused.headers["retry-after"]) <= days * 86_400
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET schedule_id = gen_random_uuid()"))
    assert (await api.post(path, **body)).status_code == 202


async def test_a_file_that_is_refused_is_not_stored(api, settings) -> None:
    settings.jobs_per_user = 1
    answers = [await api.post("/tasks/import", files=FILE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 429, 429]
    assert sum(path.is_file() for path in Path(settings.storage_dir).rglob("*")) == 1  # noqa: ASYNC240  a small folder


async def _waiting(database: Database) -> int:
    """How many sessions wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with database.session() as session:
        return (await session.execute(text(waiting))).scalar_one()


async def test_two_at_once_do_not_both_become_the_last(api, settings, session, database, ada) -> None:
    settings.jobs_per_user = 1
    await take_quota(session, ada.user_id, ExportArgs, 1)
    await enqueue(session, ExportArgs(), workspace_id=ada.workspace_id, created_by=ada.user_id)
    answer = asyncio.create_task(api.post("/tasks/export", json={}))
    while not answer.done() and not await _waiting(database):
        await asyncio.sleep(0.01)
    await session.commit()
    assert (await answer).status_code == 429
