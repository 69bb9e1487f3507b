"""Deleting is putting into the trash; from there back, or away for good."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from tests.locks import until_one_waits_for_a_lock


async def test_delete_hides_a_task_until_it_is_restored(api, make):
    task = await make()
    path = f"/tasks/{task['id']}"

    first, second = await api.delete(path), await api.delete(path)
    hidden = await api.get(path)
    listed = (await api.get("/tasks")).json()["items"]
    trash = (await api.get("/tasks/trash")).json()["items"]
    restored = await api.post(f"{path}/restore")

    assert (first.status_code, first.content, second.status_code, hidden.status_code) == (204, b"", 404, 404)
    assert listed == []
    assert [item["id"] for item in trash] == [task["id"]]
    assert trash[0]["deleted_at"] is not None
    assert (restored.status_code, restored.json()["deleted_at"]) == (200, None)
    assert (await api.get(path)).json() == restored.json()
    assert (await api.post(f"{path}/restore")).json() == restored.json()


async def test_subtasks_go_to_the_trash_and_come_back_with_their_parent(api, make):
    top = await make(title="top")
    child = await make(title="child", parent_id=top["id"])
    earlier = await make(title="deleted before", parent_id=top["id"])
    await api.delete(f"/tasks/{earlier['id']}")

    await api.delete(f"/tasks/{top['id']}")
    assert (await api.get(f"/tasks/{child['id']}")).status_code == 404
    await api.post(f"/tasks/{top['id']}/restore")

    assert {item["title"] for item in (await api.get("/tasks")).json()["items"]} == {"top", "child"}
    assert [item["title"] for item in (await api.get("/tasks/trash")).json()["items"]] == ["deleted before"]


async def test_a_subtask_whose_project_is_in_the_trash_stays_there(api, make):
    project = (await api.post("/projects", json={"name": "House"})).json()
    top = await make(title="top")
    child = await make(title="child", parent_id=top["id"], project_id=project["id"])
    await api.delete(f"/tasks/{top['id']}")
    await api.delete(f"/projects/{project['id']}")

    await api.post(f"/tasks/{top['id']}/restore")

    assert [item["title"] for item in (await api.get("/tasks")).json()["items"]] == ["top"]
    assert [item["id"] for item in (await api.get("/tasks/trash")).json()["items"]] == [child["id"]]


async def test_a_subtask_restored_alone_becomes_a_task_of_its_own(api, make):
    top = await make()
    child = await make(parent_id=top["id"])
    await api.delete(f"/tasks/{top['id']}")

    restored = (await api.post(f"/tasks/{child['id']}/restore")).json()

    assert (restored["parent_id"], restored["deleted_at"]) == (None, None)


async def test_purging_removes_a_trashed_task_for_good_and_never_a_live_one(api, make):
    task = await make()

    live = await api.delete(f"/tasks/trash/{task['id']}")
    await api.delete(f"/tasks/{task['id']}")
    purged = await api.delete(f"/tasks/trash/{task['id']}")

    assert (live.status_code, purged.status_code) == (404, 204)
    assert (await api.get("/tasks/trash")).json()["items"] == []
    assert (await api.post(f"/tasks/{task['id']}/restore")).status_code == 404


async def test_a_task_that_is_restored_at_this_moment_is_not_purged(app, api, make):
    task = await make()
    await api.delete(f"/tasks/{task['id']}")
    async with app.state.database.session() as other:
        await other.execute(text("UPDATE tasks SET deleted_at = NULL"))
        purging = asyncio.create_task(api.delete(f"/tasks/trash/{task['id']}"))
        await until_one_waits_for_a_lock(app.state.database)
        await other.commit()

    assert (await purging).status_code == 404
    assert (await api.get(f"/tasks/{task['id']}")).status_code == 200


async def test_the_trash_lists_archived_tasks_too_unless_asked_otherwise(api, make):
    task, archived = await make(title="deleted"), await make(title="archived, then deleted")
    await api.post(f"/tasks/{archived['id']}/archive")
    for one in (task, archived):
        await api.delete(f"/tasks/{one['id']}")

    async def titles(**params):
        return {item["title"] for item in (await api.get("/tasks/trash", params=params)).json()["items"]}

    assert await titles() == await titles(archived="any") == {task["title"], archived["title"]}
    assert await titles(archived="true") == {archived["title"]}
    assert await titles(archived="false") == {task["title"]}


async def test_a_cursor_of_the_list_does_not_serve_the_trash(api, make):
    for one in [await make() for _ in range(4)][:2]:
        await api.delete(f"/tasks/{one['id']}")
    cursor = (await api.get("/tasks", params={"limit": 1})).json()["next_cursor"]

    assert (await api.get("/tasks", params={"cursor": cursor})).status_code == 200
    assert (await api.get("/tasks/trash", params={"cursor": cursor})).status_code == 422
