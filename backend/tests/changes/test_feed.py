"""The feed misses nothing, repeats nothing, and keeps each resource's order, whatever the order of commits."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import select

from app.changes.editing import edit
from app.changes.reader import FeedCursor, read_feed, snapshot
from app.changes.recorder import Entry, record
from app.kit.ids import new_id
from app.models import Project

PAGE = 3


def entry(workspace_id, version=1):
    return Entry(workspace_id, "project", new_id(), version, "updated")


@asynccontextmanager
async def open_transaction(database):
    """A transaction that is rolled back unless the test commits it."""
    async with database.session() as session:
        await session.begin()
        yield session
        await session.rollback()


async def start(database) -> FeedCursor:
    async with database.transaction() as session:
        return await snapshot(session)


async def read(database, workspace_id, cursor, limit=PAGE):
    async with database.transaction() as session:
        return await read_feed(session, [workspace_id], cursor, limit)


async def read_batch(database, workspace_id, cursor, limit=PAGE):
    """All pages of what there is now."""
    found = []
    while True:
        rows, cursor = await read(database, workspace_id, cursor, limit)
        found += rows
        if len(rows) < limit:
            return found, cursor


async def test_what_commits_late_is_found_although_its_id_is_lower(database, workspace_id, actor):
    cursor = await start(database)
    slow, quick = entry(workspace_id), entry(workspace_id)
    async with open_transaction(database) as first, open_transaction(database) as second:
        await record(first, actor, [slow])
        await record(second, actor, [quick])
        await second.commit()
        before, cursor = await read(database, workspace_id, cursor)
        await first.commit()
    after, cursor = await read(database, workspace_id, cursor)
    rest, _ = await read(database, workspace_id, cursor)

    assert [row["resource_id"] for row in before] == [quick.resource_id]
    assert [row["resource_id"] for row in after] == [slow.resource_id]
    assert after[0]["id"] < before[0]["id"]
    assert rest == []


async def test_what_commits_between_two_pages_comes_with_the_next_batch(database, workspace_id, actor):
    cursor = await start(database)
    late = entry(workspace_id)
    async with open_transaction(database) as writer:
        await record(writer, actor, [late])
        async with database.transaction() as session:
            await record(session, actor, [entry(workspace_id) for _ in range(4)])
        first, cursor = await read(database, workspace_id, cursor)
        await writer.commit()
    second, cursor = await read(database, workspace_id, cursor)
    third, cursor = await read(database, workspace_id, cursor)

    assert [len(first), len(second)] == [3, 1]
    assert [row["resource_id"] for row in third] == [late.resource_id]
    assert (await read(database, workspace_id, cursor))[0] == []


async def test_a_batch_that_fills_its_last_page_ends_with_an_empty_one(database, workspace_id, actor):
    cursor = await start(database)
    async with database.transaction() as session:
        await record(session, actor, [entry(workspace_id) for _ in range(PAGE)])

    full, cursor = await read(database, workspace_id, cursor)
    empty, cursor = await read(database, workspace_id, cursor)
    async with database.transaction() as session:
        await record(session, actor, [entry(workspace_id)])
    more, _ = await read(database, workspace_id, cursor)

    assert (len(full), len(empty), len(more)) == (PAGE, 0, 1)


async def test_what_is_rolled_back_is_never_shown(database, workspace_id, actor):
    cursor = await start(database)
    kept = entry(workspace_id)
    async with open_transaction(database) as undone:
        await record(undone, actor, [entry(workspace_id)])
        async with database.transaction() as session:
            await record(session, actor, [kept])
        before, cursor = await read(database, workspace_id, cursor)
    after, _ = await read(database, workspace_id, cursor)

    assert [row["resource_id"] for row in before + after] == [kept.resource_id]


async def test_a_rolled_back_savepoint_is_never_shown_and_its_surroundings_are(database, workspace_id, actor):
    cursor = await start(database)
    kept, more = entry(workspace_id), entry(workspace_id)
    async with database.transaction() as session:
        await record(session, actor, [kept])
        savepoint = await session.begin_nested()
        await record(session, actor, [entry(workspace_id)])
        await savepoint.rollback()
        async with session.begin_nested():
            await record(session, actor, [more])

    rows, _ = await read(database, workspace_id, cursor)

    assert [row["resource_id"] for row in rows] == [kept.resource_id, more.resource_id]


async def test_a_transaction_open_for_long_holds_nobody_up(database, workspace_id, actor):
    cursor = await start(database)
    async with open_transaction(database) as idle:
        await record(idle, actor, [entry(workspace_id)])
        for _ in range(5):
            async with database.transaction() as session:
                await record(session, actor, [entry(workspace_id)])
            rows, cursor = await read(database, workspace_id, cursor)
            assert len(rows) == 1


async def test_other_workspaces_are_not_shown(database, workspace_id, actor):
    cursor = await start(database)
    async with database.transaction() as session:
        await record(session, actor, [entry(new_id())])

    assert (await read(database, workspace_id, cursor))[0] == []


async def test_a_reader_that_starts_now_does_not_see_the_past(database, workspace_id, actor):
    async with database.transaction() as session:
        await record(session, actor, [entry(workspace_id)])

    assert (await read(database, workspace_id, await start(database)))[0] == []


async def test_the_second_writer_of_a_row_has_the_higher_id(database, workspace_id, projects, actor):
    cursor = await start(database)
    async with open_transaction(database) as first, open_transaction(database) as second:
        project = await locked(first, projects[0])
        waiting = asyncio.create_task(locked(second, projects[0]))
        await edit(first, actor, project, {"name": "First"})
        await first.commit()
        await edit(second, actor, await waiting, {"name": "Second"})
        await second.commit()

    rows, _ = await read(database, workspace_id, cursor)

    assert [(row["version"], row["after"]["name"]) for row in rows] == [(2, "First"), (3, "Second")]


async def locked(session, project_id):
    return (await session.scalars(select(Project).where(Project.id == project_id).with_for_update())).one()


async def write(database, projects, actor, dice, committed):
    """Transactions that change one to three of the projects, wait in between, and sometimes give up."""
    for _ in range(12):
        async with open_transaction(database) as session:
            changed = []
            for project_id in sorted(dice.sample(projects, dice.randint(1, 3))):
                project = await edit(session, actor, await locked(session, project_id), {"name": dice.random().hex()})
                changed.append((project.id, project.version))
                for _ in range(dice.randint(0, 3)):
                    await asyncio.sleep(0)
            if dice.random() < 0.8:
                await session.commit()
                committed += changed


async def unrelated(database, actor, dice, stop):
    """Other transactions, of which some are open while the feed is read: they move the snapshots' edges."""
    while not stop.is_set():
        async with open_transaction(database) as session:
            await record(session, actor, [entry(new_id())])
            for _ in range(dice.randint(0, 20)):
                await asyncio.sleep(0)
            await session.commit()


@pytest.mark.parametrize("seed", range(4))
async def test_concurrent_writers_leave_no_gap_no_duplicate_and_no_disorder(
    database, workspace_id, projects, actor, seed
):
    dice = random.Random(seed)
    committed: list[tuple[object, int]] = []
    cursor, stop = await start(database), asyncio.Event()
    seen = []

    async def follow():
        nonlocal cursor
        while not stop.is_set():
            rows, cursor = await read_batch(database, workspace_id, cursor, dice.randint(1, 5))
            seen.extend(rows)

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        group.create_task(unrelated(database, actor, dice, stop))
        async with asyncio.TaskGroup() as writers:
            for _ in range(5):
                writers.create_task(write(database, projects, actor, dice, committed))
        stop.set()
    rest, _ = await read_batch(database, workspace_id, cursor)
    found = [(row["resource_id"], row["version"]) for row in seen + rest]

    assert Counter(found) == Counter(committed)
    for project_id in projects:
        versions = [version for resource, version in found if resource == project_id]
        assert versions == list(range(2, len(versions) + 2))
