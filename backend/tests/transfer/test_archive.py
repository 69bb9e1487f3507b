"""A whole workspace as a zip file: the job, and the file that is written as it is read."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

import app.transfer.jobs  # noqa: F401  registers the handlers
from app.infra.storage import Storage
from app.transfer.archive import Archive, safe
from app.worker.testing import run_jobs_until_idle

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


@pytest.fixture
def attach(api):
    """A task with an attachment; returns its key and the attachment's id."""

    async def attach(title: str, name: str, content: bytes) -> tuple[str, str]:
        task = (await api.post("/tasks", json={"title": title})).json()
        answer = await api.post(f"/tasks/{task['id']}/attachments", files={"file": (name, content)})
        assert answer.status_code == 201, answer.text
        return task["key"], answer.json()["id"]

    return attach


@pytest.fixture
def exported(api, app):
    async def exported(body: dict[str, Any] | None = None) -> tuple[dict[str, Any], zipfile.ZipFile]:
        answer = await api.post("/tasks/export", json=body or {})
        assert answer.status_code == 202, answer.text
        await run_jobs_until_idle(app.state.settings)
        job = (await api.get(answer.headers["Location"])).json()
        assert job["state"] == "completed", job
        async with app.state.database.session() as session:
            key = await session.scalar(
                text("SELECT storage_key FROM stored_files WHERE id = :id"), {"id": job["result"]["file_id"]}
            )
        return job, zipfile.ZipFile(BytesIO(await Storage(app.state.settings).get(key)))

    return exported


async def test_a_workspace_goes_out_with_its_attachments(api, exported, attach, bob, client) -> None:
    large = bytes(range(256)) * 8192
    key, plan = await attach("Sow é", "plan: 1?.txt", large)
    other, note = await attach("Water", "../note", b"-")
    _, _ = await attach("deleted", "gone.txt", b"gone")
    gone = (await api.get("/tasks", params={"q": "deleted"})).json()["items"][0]["id"]
    assert (await api.delete(f"/tasks/{gone}")).status_code == 204
    assert (await client.post("/tasks", json={"title": "theirs"}, headers=bob.headers)).status_code == 201

    job, archive = await exported()

    assert archive.testzip() is None
    paths = [f"files/{key}/{plan}/plan_ 1_.txt", f"files/{other}/{note}/note"]
    assert archive.namelist() == ["tasks.json", *paths]
    assert [archive.read(path) for path in paths] == [large, b"-"]
    tasks = json.loads(archive.read("tasks.json"))["tasks"]
    assert [task["title"] for task in tasks] == ["Sow é", "Water"]
    assert job["result"]["media_type"] == "application/zip"
    assert job["result"]["name"].startswith("workspace-")


async def test_a_file_that_is_lost_is_named_and_the_others_go_out(exported, attach, app) -> None:
    key, lost = await attach("Sow", "a: plan.txt", b"lost")
    other, note = await attach("Water", "b.txt", b"there")
    async with app.state.database.session() as session:
        stored = await session.scalar(
            text("SELECT storage_key FROM stored_files WHERE attachment_id = :id"), {"id": lost}
        )
    await Storage(app.state.settings).delete(stored)

    job, archive = await exported()

    assert archive.testzip() is None
    assert archive.namelist() == ["tasks.json", f"files/{other}/{note}/b.txt"]
    assert (job["result"]["lost"], job["result"]["lost_files"]) == (1, [f"files/{key}/{lost}/a_ plan.txt"])


async def test_its_tasks_come_in_again(api, exported, bob, client, app) -> None:
    await api.post("/tasks", json={"title": "Sow", "priority": "high"})
    _, archive = await exported()

    answer = await client.post(
        "/tasks/import", files={"file": ("tasks.json", archive.read("tasks.json"))}, headers=bob.headers
    )
    await run_jobs_until_idle(app.state.settings)

    result = (await client.get(answer.headers["Location"], headers=bob.headers)).json()["result"]
    assert (result["tasks"], result["errors"]) == (1, [])


async def test_another_persons_workspace_does_not_exist(api, bob) -> None:
    answer = await api.post("/tasks/export", json={"workspace_id": str(bob.workspace_id)})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/workspace_id")


async def test_an_export_that_was_stored_is_not_made_twice(api, app, exported) -> None:
    job, _ = await exported()
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE jobs SET state = 'available', result = NULL, finished_at = NULL"))
    await run_jobs_until_idle(app.state.settings)

    assert (await api.get(f"/jobs/{job['id']}")).json()["result"] == job["result"]
    async with app.state.database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM stored_files")) == 1


async def test_a_cancelled_export_leaves_no_file(api, app, attach) -> None:
    await attach("Sow", "a.txt", b"content")
    job = (await api.post("/tasks/export", json={})).json()
    async with app.state.database.transaction() as session:
        # Asked for while it runs: the first look at the row is between the tasks and the files.
        await session.execute(
            text("""
                CREATE FUNCTION ask_to_cancel() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    NEW.cancel_requested_at = now(); RETURN NEW; END $$""")
        )
        await session.execute(
            text("""
                CREATE TRIGGER ask_to_cancel BEFORE UPDATE ON jobs FOR EACH ROW WHEN (NEW.progress IS NOT NULL)
                EXECUTE FUNCTION ask_to_cancel()""")
        )
    try:
        await run_jobs_until_idle(app.state.settings)
    finally:
        async with app.state.database.transaction() as session:
            await session.execute(text("DROP FUNCTION ask_to_cancel CASCADE"))

    assert (await api.get(f"/jobs/{job['id']}")).json()["state"] == "cancelled"
    async with app.state.database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM stored_files")) == 1


async def test_an_archive_of_any_size_takes_a_piece_of_memory() -> None:
    async def large() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 20)

    archive, size = Archive(NOW), 0
    tracemalloc.start()
    try:
        async for piece in archive.entry("large", large(), compressed=False):
            size += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size > 64 << 20
    assert peak < 8 << 20


@given(st.lists(st.tuples(st.lists(st.binary()), st.booleans()), max_size=5))
async def test_what_goes_into_an_archive_comes_out(entries) -> None:
    archive, written = Archive(NOW), bytearray()
    for number, (content, compressed) in enumerate(entries):
        async for piece in archive.entry(str(number), pieces(*content), compressed=compressed):
            written += piece
    written += archive.end()

    read = zipfile.ZipFile(BytesIO(bytes(written)))
    assert read.testzip() is None
    assert [read.read(name) for name in read.namelist()] == [b"".join(content) for content, _ in entries]


@given(st.one_of(st.text(), st.text("./\\ a:", max_size=8), st.text(min_size=130).map(lambda name: f"{name}.txt")))
def test_the_name_of_a_file_leads_nowhere(name) -> None:
    found = safe(name)
    assert 0 < len(found) <= 120
    assert not set(found) & set('/\\:*?"<>|\0\n')
    assert found not in {".", ".."}


def test_a_long_name_keeps_its_ending() -> None:
    assert safe("a" * 200 + ".pdf") == "a" * 116 + ".pdf"
