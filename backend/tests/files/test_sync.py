"""`files.sync` on real files and rows."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import text

import app.files.jobs
import app.maintenance.jobs
import app.tasks.attachments.jobs
import app.transfer.jobs  # noqa: F401  registers the handlers
from app.files.job_args import SyncArgs
from app.maintenance.job_args import CleanupArgs
from app.worker import enqueue
from app.worker.testing import run_jobs_until_idle

DAYS = 86_400


@pytest.fixture
def run(app, settings):
    """Runs a job of this kind and everything else that waits; its result."""

    async def run(args):
        async with app.state.database.transaction() as session:
            job = await enqueue(session, args)
        await run_jobs_until_idle(settings)
        async with app.state.database.session() as session:
            query = text("SELECT state, result FROM jobs WHERE id = :id")
            state, result = (await session.execute(query, {"id": job.id})).one()
        assert state == "completed"
        return result

    return run


@pytest.fixture
def stored(settings):
    """The files that are there; with `days`, each is made to look so old."""

    def stored(days: float = 0) -> list[Path]:
        found = [path for path in Path(settings.storage_dir).rglob("*") if path.is_file()]
        moment = time.time() - days * DAYS
        for path in found if days else ():
            os.utime(path, (moment, moment))
        return found

    return stored


@pytest.fixture
async def task(api):
    return f"/tasks/{(await api.post('/tasks', json={'title': 'Buy milk'})).json()['id']}"


async def attach(api, task, content=b"Saucepans"):
    return (await api.post(f"{task}/attachments", files={"file": ("list.txt", content)})).headers["location"]


async def age_rows(app, days: float) -> None:
    async with app.state.database.transaction() as session:
        await session.execute(
            text("UPDATE stored_files SET created_at = now() - make_interval(secs => :s)"), {"s": days * DAYS}
        )


async def test_bytes_without_a_row_go_after_a_day(api, app, task, run, stored):
    kept, gone = await attach(api, task), await attach(api, task)
    await api.delete(gone)
    await api.post("/tasks/import", files={"file": ("todo.txt", b"Call Mum")})
    stored(days=0.9)
    young = await run(SyncArgs())
    stored(days=1.1)
    old = await run(SyncArgs())
    again = await run(SyncArgs())

    assert [one["deleted"] for one in (young, old, again)] == [0, 1, 0]
    assert old == {"files": 2, "deleted": 1, "missing": 0, "missing_ids": []}
    assert (await api.get(kept + "/content")).content == b"Saucepans"
    assert len(stored()) == 2


async def test_rows_without_bytes_are_named_and_stay(api, app, task, run, stored):
    place = await attach(api, task)
    for path in stored():
        path.unlink()
    young = await run(SyncArgs())
    await age_rows(app, 1.1)
    old = await run(SyncArgs())

    async with app.state.database.session() as session:
        file_id = str(await session.scalar(text("SELECT id FROM stored_files")))
    assert young["missing"] == 0
    assert (old["missing"], old["missing_ids"]) == (1, [file_id])
    assert (await api.get(place)).status_code == 200


async def test_what_others_keep_beside_our_files_is_left_alone(settings, run, stored):
    folder = Path(settings.storage_dir) / "ab"
    folder.mkdir(parents=True)
    for name in ("readme.txt", "c" * 30 + ".bak", "C" * 30):
        (folder / name).write_text("not ours")
    (folder / ("c" * 30)).write_text("ours, and nobody's")
    stored(days=2)

    assert (await run(SyncArgs()))["deleted"] == 1
    assert len(stored()) == 3


async def test_the_files_of_a_purged_task_go(api, task, run, stored):
    await attach(api, task)
    await api.delete(task)
    stored(days=2)
    in_the_trash = await run(SyncArgs())
    await api.delete(f"/tasks/trash/{task.rsplit('/', 1)[1]}")
    purged = await run(SyncArgs())

    assert [(one["files"], one["deleted"]) for one in (in_the_trash, purged)] == [(1, 0), (0, 1)]
    assert stored() == []


async def test_the_files_of_a_trash_that_was_emptied_go(api, app, task, run, stored):
    await attach(api, task)
    await api.delete(task)
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE tasks SET deleted_at = now() - interval '31 days'"))
    stored(days=31)
    assert (await run(CleanupArgs()))["tasks"] == 1

    assert (await run(SyncArgs()))["deleted"] == 1
    assert stored() == []


async def test_an_imported_file_goes_with_its_job(api, app, run, stored):
    await api.post("/tasks/import", files={"file": ("todo.txt", b"Call Mum")})
    await run(SyncArgs())
    async with app.state.database.transaction() as session:
        await session.execute(
            text("UPDATE jobs SET finished_at = now() - interval '31 days' WHERE kind = 'tasks.import'")
        )
    await run(CleanupArgs())
    stored(days=31)

    assert (await run(SyncArgs()))["deleted"] == 1
