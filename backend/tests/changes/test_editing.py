"""What an edit writes: the row's next version, and what it was and is."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from app.changes.editing import edit, edit_tasks, record_created, remove
from app.kit.clock import utc_now
from app.kit.ids import new_id
from app.models import Change, Project, Section, Task


@pytest.fixture
async def project(session, projects):
    return await session.get_one(Project, projects[0])


async def entries(session):
    return list(await session.scalars(select(Change).order_by(Change.id)))


async def test_an_edit_makes_the_next_version_and_records_the_fields_that_changed(session, project, actor):
    before = project.updated_at

    edited = await edit(session, actor, project, {"name": "One", "position": 0.0, "description": "new"})

    assert (edited.name, edited.version) == ("One", 2)
    assert edited.updated_at > before
    (change,) = await entries(session)
    assert (change.resource, change.resource_id, change.version, change.action) == ("project", project.id, 2, "updated")
    assert change.before == {"name": "Zero", "description": None}
    assert change.after == {"name": "One", "description": "new"}
    assert (change.user_id, change.operation_id) == (actor.user_id, actor.operation_id)


async def test_an_edit_that_changes_nothing_writes_nothing(session, project, actor):
    edited = await edit(session, actor, project, {"name": "Zero"})

    assert edited.version == 1
    assert await entries(session) == []


async def test_moments_and_ids_are_recorded_as_json(session, project, actor):
    moment = utc_now()

    await edit(session, actor, project, {"archived_at": moment}, "archived")

    (change,) = await entries(session)
    assert change.after == {"archived_at": moment.isoformat().replace("+00:00", "Z")}


async def test_what_is_made_and_removed_is_recorded_whole(session, project, actor):
    section = Section(id=new_id(), project_id=project.id, workspace_id=project.workspace_id, name="Kitchen", position=1)
    session.add(section)
    await session.flush()

    await record_created(session, actor, section)
    await remove(session, actor, section)

    made, gone = await entries(session)
    whole = {"name": "Kitchen", "position": 1.0, "project_id": str(project.id)}
    assert (made.action, made.version, made.before, made.after) == ("created", 1, None, whole)
    assert (gone.action, gone.version, gone.before, gone.after) == ("deleted", 2, whole, None)
    assert await session.scalar(select(Section)) is None


async def test_many_tasks_are_edited_and_recorded_at_once(session, project, actor):
    ids = [new_id() for _ in range(3)]
    session.add_all(
        Task(
            id=one,
            workspace_id=project.workspace_id,
            project_id=project.id,
            number=n,
            key=f"P0-{n}",
            title="t",
            position=n,
        )
        for n, one in enumerate(ids)
    )
    await session.flush()

    await edit_tasks(session, actor, Task.position > 0, {"position": 9.5}, "updated")

    versions = dict((await session.execute(select(Task.id, Task.version))).all())
    assert versions == {ids[0]: 1, ids[1]: 2, ids[2]: 2}
    changes = await entries(session)
    assert [(one.resource, one.task_id, one.version) for one in changes] == [("task", ids[1], 2), ("task", ids[2], 2)]
    assert [(one.before, one.after) for one in changes] == [({"position": n}, {"position": 9.5}) for n in (1, 2)]
    assert {one.operation_id for one in changes} == {actor.operation_id}


async def test_the_second_writer_of_a_row_has_the_higher_id(database, projects, actor, session):
    async with database.session() as first, database.session() as second:
        project = await locked(first, projects[0])
        waiting = asyncio.create_task(locked(second, projects[0]))
        await edit(first, actor, project, {"name": "First"})
        await first.commit()
        await edit(second, actor, await waiting, {"name": "Second"})
        await second.commit()

    assert [(entry.version, entry.after["name"]) for entry in await entries(session)] == [(2, "First"), (3, "Second")]


async def locked(session, project_id):
    return (await session.scalars(select(Project).where(Project.id == project_id).with_for_update())).one()
