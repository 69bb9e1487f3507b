"""Sections: the parts of a project, in order."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from app.models import Change


@pytest.fixture
def sections(project):
    return f"/projects/{project['id']}/sections"


async def test_a_section_is_made_behind_the_others(api, make, sections):
    answer = await api.post(sections, json={"name": "Kitchen"})
    await make(sections, name="Bath")
    await make(sections, name="Hall", position=0)

    section = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{sections}/{section['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (await api.get(answer.headers["location"])).json() == section
    assert [one["name"] for one in (await api.get(sections)).json()["items"]] == ["Hall", "Kitchen", "Bath"]


async def test_sections_come_in_pages(api, make, sections):
    made = [await make(sections, name=f"Room {number}") for number in range(5)]

    first = (await api.get(sections, params={"limit": 3, "count": "true"})).json()
    second = (await api.get(sections, params={"limit": 3, "count": "true", "cursor": first["next_cursor"]})).json()

    assert first["items"] + second["items"] == made
    assert (first["total_count"], second["next_cursor"]) == (5, None)


async def test_a_section_belongs_to_its_project_only(api, make, sections):
    section = await make(sections, name="Kitchen")
    other = await make("/projects", name="Other")

    answers = [
        await api.get(f"/projects/{other['id']}/sections/{section['id']}"),
        await api.patch(f"/projects/{other['id']}/sections/{section['id']}", json={"name": "x"}),
        await api.delete(f"/projects/{other['id']}/sections/{section['id']}"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert (await api.get(f"/projects/{other['id']}/sections")).json()["items"] == []


async def test_a_section_can_be_renamed_and_moved(api, make, sections):
    section = await make(sections, name="Kitchen")

    answer = await api.patch(f"{sections}/{section['id']}", json={"name": "Küche"}, headers={"If-Match": '"1"'})
    stale = await api.patch(f"{sections}/{section['id']}", json={"position": 7}, headers={"If-Match": '"1"'})

    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert answer.json() == {**section, "name": "Küche", "version": 2, "updated_at": answer.json()["updated_at"]}
    assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')


async def test_a_patch_that_cannot_be_is_refused(api, make, sections):
    section = await make(sections, name="Kitchen")

    for body in ({"name": None}, {"position": None}, {"project_id": "x"}, {"name": ""}):
        answer = await api.patch(f"{sections}/{section['id']}", json=body)

        assert (answer.status_code, len(answer.json()["errors"])) == (422, 1)


async def test_a_section_is_read_only_when_it_changed(api, make, sections):
    section = await make(sections, name="Kitchen")

    answer = await api.get(f"{sections}/{section['id']}", headers={"If-None-Match": 'W/"1"'})

    assert (answer.status_code, answer.content) == (304, b"")


async def test_archived_sections_are_listed_on_request(api, make, sections):
    section = await make(sections, name="Kitchen")

    archived = await api.post(f"{sections}/{section['id']}/archive")
    hidden, shown = await api.get(sections), await api.get(sections, params={"archived": "any"})
    back = await api.post(f"{sections}/{section['id']}/unarchive")

    assert archived.json()["archived_at"] is not None
    assert hidden.json()["items"] == []
    assert shown.json()["items"] == [archived.json()]
    assert (back.json()["archived_at"], back.headers["etag"]) == (None, '"3"')


async def test_deleting_a_section_leaves_its_tasks_in_the_project(api, make, project, sections, session):
    kitchen, bath = await make(sections, name="Kitchen"), await make(sections, name="Bath")
    inside = await make("/tasks", title="Tiles", project_id=project["id"], section_id=kitchen["id"])
    trashed = await make("/tasks", title="Sink", project_id=project["id"], section_id=kitchen["id"])
    elsewhere = await make("/tasks", title="Tap", project_id=project["id"], section_id=bath["id"])
    await api.delete(f"/tasks/{trashed['id']}")

    answer = await api.delete(f"{sections}/{kitchen['id']}", headers={"If-Match": '"1"'})

    assert answer.status_code == 204
    assert (await api.get(f"{sections}/{kitchen['id']}")).status_code == 404
    left = (await api.get(f"/tasks/{inside['id']}")).json()
    assert (left["section_id"], left["project_id"], left["version"]) == (None, project["id"], 2)
    assert (await api.get(f"/tasks/{elsewhere['id']}")).json() == elsewhere
    assert (await api.get("/tasks/trash")).json()["items"][0]["section_id"] is None
    change = await session.scalar(select(Change).where(Change.task_id == inside["id"]).order_by(Change.id.desc()))
    assert (change.action, change.version) == ("updated", 2)
    assert (change.before, change.after) == ({"section_id": kitchen["id"]}, {"section_id": None})
    gone = await session.scalar(select(Change).where(Change.resource_id == kitchen["id"]).order_by(Change.id.desc()))
    assert (gone.action, gone.version, gone.before["name"]) == ("deleted", 2, "Kitchen")


async def test_a_task_made_while_its_section_is_deleted_is_refused_or_stands_outside(api, make, project, sections):
    section = await make(sections, name="Kitchen")
    body = {"title": "Tiles", "project_id": project["id"], "section_id": section["id"]}

    made, gone = await asyncio.gather(
        asyncio.gather(*(api.post("/tasks", json=body) for _ in range(6))), api.delete(f"{sections}/{section['id']}")
    )

    assert gone.status_code == 204
    assert {answer.status_code for answer in made} <= {201, 409, 422}
    assert {task["section_id"] for task in (await api.get("/tasks")).json()["items"]} <= {None}


async def test_the_sections_of_a_deleted_project_are_gone_with_it(api, make, project, sections):
    section = await make(sections, name="Kitchen")
    await api.delete(f"/projects/{project['id']}")

    answers = [
        await api.get(sections),
        await api.get(f"{sections}/{section['id']}"),
        await api.post(sections, json={"name": "Bath"}),
        await api.delete(f"{sections}/{section['id']}"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4


async def test_somebody_else_sees_no_section(client, ada, bob, make, sections):
    section = await make(sections, name="Kitchen")

    answers = [
        await client.get(f"{sections}/{section['id']}", headers=bob.headers),
        await client.patch(f"{sections}/{section['id']}", json={"name": "x"}, headers=bob.headers),
        await client.delete(f"{sections}/{section['id']}", headers=bob.headers),
    ]

    assert [answer.status_code for answer in answers] == [404] * 3
