"""One task: created, read, changed, completed, archived."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from app.models import WorkspaceMember

NOBODY = "0190c6a4-0000-7000-8000-000000000000"
NOWHERE = f"/tasks/{NOBODY}"


async def test_a_title_alone_makes_a_task_in_the_inbox(api, ada):
    answer = await api.post("/tasks", json={"title": "Buy milk"})

    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    assert answer.headers["etag"] == '"1"'
    assert task["key"] == "INBOX-1"
    assert (task["status"], task["priority"]) == ("todo", "none")
    assert task["workspace_id"] == str(ada.workspace_id)
    assert task["created_by"] == str(ada.user_id)
    assert task["label_ids"] == task["assignee_ids"] == []
    assert (await api.get(answer.headers["location"])).json() == task


async def test_keys_count_up_within_a_project(api, make):
    project = (await api.post("/projects", json={"name": "Garden", "key": "GARDEN"})).json()

    keys = [(await make(project_id=project["id"]))["key"] for _ in range(3)] + [(await make())["key"]]

    assert keys == ["GARDEN-1", "GARDEN-2", "GARDEN-3", "INBOX-1"]


async def test_every_writable_field_comes_back_as_it_was_sent(api, ada):
    label = (await api.post("/labels", json={"name": "Home"})).json()
    project = (await api.post("/projects", json={"name": "House"})).json()
    section = (await api.post(f"/projects/{project['id']}/sections", json={"name": "Kitchen"})).json()
    parent = (await api.post("/tasks", json={"title": "Renovate", "project_id": project["id"]})).json()
    sent = {
        "title": "Tiles für die Küche 🧱",
        "description": "*blue* ones",
        "status": "in_progress",
        "priority": "urgent",
        "project_id": project["id"],
        "section_id": section["id"],
        "parent_id": parent["id"],
        "label_ids": [label["id"]],
        "assignee_ids": [str(ada.user_id)],
        "start_at": "2030-01-01T08:00:00Z",
        "due_at": "2030-01-31T17:00:00Z",
        "estimate_minutes": 90,
        "recurrence": {"rrule": "FREQ=WEEKLY;BYDAY=MO", "time_zone": "Europe/Berlin"},
        "position": 2.5,
    }

    task = (await api.post("/tasks", json=sent)).json()

    assert {name: task[name] for name in sent} == sent
    assert (await api.get(f"/tasks/{task['id']}")).json() == task


async def test_an_offset_is_turned_into_utc_and_a_naive_time_is_refused(api):
    task = (await api.post("/tasks", json={"title": "t", "due_at": "2030-01-31T17:00:00+02:00"})).json()
    naive = await api.post("/tasks", json={"title": "t", "due_at": "2030-01-31T17:00:00"})

    assert task["due_at"] == "2030-01-31T15:00:00Z"
    assert naive.status_code == 422
    assert naive.json()["errors"][0]["pointer"] == "/due_at"


async def test_labels_are_accepted_by_name_whatever_the_case(api, make):
    label = (await api.post("/labels", json={"name": "Home"})).json()

    assert (await make(labels=["home"]))["label_ids"] == [label["id"]]


@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("project_id", NOBODY, "/project_id"),
        ("section_id", NOBODY, "/section_id"),
        ("parent_id", NOBODY, "/parent_id"),
        ("label_ids", [NOBODY], "/label_ids/0"),
        ("labels", ["nowhere"], "/labels/0"),
        ("assignee_ids", [NOBODY], "/assignee_ids/0"),
    ],
)
async def test_a_reference_to_nothing_is_refused_with_a_pointer(api, field, value, pointer):
    created = await api.post("/tasks", json={"title": "t", field: value})
    task = (await api.post("/tasks", json={"title": "t"})).json()
    updated = await api.patch(f"/tasks/{task['id']}", json={field: value})

    for answer in (created, updated):
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer
        assert answer.json()["errors"][0]["code"] == "invalid_reference"
    assert len((await api.get("/tasks")).json()["items"]) == 1


async def test_another_persons_references_are_refused_like_missing_ones(api, bob, client):
    project = (await client.post("/projects", json={"name": "Secret"}, headers=bob.headers)).json()
    label = (await client.post("/labels", json={"name": "secret"}, headers=bob.headers)).json()
    foreign = [
        await api.post("/tasks", json={"title": "t", "project_id": project["id"]}),
        await api.post("/tasks", json={"title": "t", "label_ids": [label["id"]]}),
        await api.post("/tasks", json={"title": "t", "assignee_ids": [str(bob.user_id)]}),
    ]
    missing = await api.post("/tasks", json={"title": "t", "project_id": str(uuid4())})

    assert [answer.status_code for answer in foreign] == [422] * 3
    assert foreign[0].json()["errors"] == missing.json()["errors"]


async def test_another_persons_task_is_not_found_by_any_route(api, make, bob, client):
    task = await make()
    path = f"/tasks/{task['id']}"
    answers = [
        await client.get(path, headers=bob.headers),
        await client.patch(path, json={"title": "x"}, headers=bob.headers),
        await client.delete(path, headers=bob.headers),
        await client.get(f"{path}/history", headers=bob.headers),
        *[
            await client.post(f"{path}/{act}", headers=bob.headers)
            for act in ("restore", "archive", "complete", "reopen")
        ],
    ]
    missing = await client.get(NOWHERE, headers=bob.headers)

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["code"] for answer in answers} == {missing.json()["code"]}
    assert (await api.get(path)).json() == task


async def test_a_patch_touches_only_the_fields_sent(api, make):
    task = await make(description="two litres", priority="high", due_at="2030-01-31T17:00:00Z")

    changed = (await api.patch(f"/tasks/{task['id']}", json={"title": "Buy oat milk"})).json()

    different = {name for name in task if task[name] != changed[name]}
    assert different == {"title", "version", "updated_at"}
    assert changed["version"] == 2


async def test_a_patch_with_null_clears_a_field_and_is_refused_where_one_is_needed(api, make):
    task = await make(description="two litres")

    cleared = await api.patch(f"/tasks/{task['id']}", json={"description": None})
    refused = await api.patch(f"/tasks/{task['id']}", json={"title": None})

    assert cleared.json()["description"] is None
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/title"


async def test_an_empty_patch_changes_nothing(api, make):
    task = await make()

    assert (await api.patch(f"/tasks/{task['id']}", json={})).json() == task


async def test_a_patch_with_what_a_task_has_already_changes_nothing(api, make, ada):
    await api.post("/labels", json={"name": "home"})
    everything = {
        "title": "Paint", "description": None, "status": "done", "priority": "high", "due_at": "2030-01-01T00:00:00Z",
        "recurrence": {"rrule": "FREQ=WEEKLY", "time_zone": "UTC"}, "position": 1.5, "estimate_minutes": 5,
        "labels": ["home"], "assignee_ids": [str(ada.user_id)],
    }  # fmt: skip
    task = await make(**everything)
    path = f"/tasks/{task['id']}"

    same = await api.patch(path, json=everything, headers={"If-Match": '"1"'})
    part = await api.patch(path, json={"priority": "high"})
    other = await api.patch(path, json={**everything, "labels": []})

    assert (same.status_code, same.json(), part.json()) == (200, task, task)
    assert (other.json()["version"], other.json()["label_ids"]) == (2, [])
    history = (await api.get(f"{path}/history")).json()["items"]
    assert [item["version"] for item in history] == [2, 1]


async def test_labels_and_assignees_are_replaced_as_sets(api, make, ada):
    red, blue = [(await api.post("/labels", json={"name": name})).json()["id"] for name in ("red", "blue")]
    task = await make(label_ids=[red], assignee_ids=[str(ada.user_id)])

    changed = (await api.patch(f"/tasks/{task['id']}", json={"labels": ["BLUE"], "assignee_ids": []})).json()

    assert (changed["label_ids"], changed["assignee_ids"]) == ([blue], [])
    assert (await api.get(f"/tasks/{task['id']}")).json() == changed


async def test_moving_to_another_project_leaves_the_section_behind_and_keeps_the_key(api, make):
    old, new = [(await api.post("/projects", json={"name": name})).json() for name in ("Old", "New")]
    section = (await api.post(f"/projects/{old['id']}/sections", json={"name": "s"})).json()
    task = await make(project_id=old["id"], section_id=section["id"])

    moved = (await api.patch(f"/tasks/{task['id']}", json={"project_id": new["id"]})).json()

    assert (moved["project_id"], moved["section_id"], moved["key"]) == (new["id"], None, task["key"])


async def test_a_stale_if_match_is_refused_with_the_current_tag_and_changes_nothing(api, make):
    task = await make()
    path = f"/tasks/{task['id']}"
    await api.patch(path, json={"title": "second"})

    stale = await api.patch(path, json={"title": "third"}, headers={"If-Match": '"1"'})
    weak = await api.patch(path, json={"title": "third"}, headers={"If-Match": 'W/"2"'})
    fresh = await api.patch(path, json={"title": "third"}, headers={"If-Match": '"1", "2"'})
    deleted = await api.delete(path, headers={"If-Match": '"2"'})

    assert (stale.status_code, stale.headers["etag"], stale.json()["code"]) == (412, '"2"', "precondition_failed")
    assert weak.status_code == 412
    assert (fresh.status_code, fresh.headers["etag"]) == (200, '"3"')
    assert deleted.status_code == 412


async def test_of_fifty_parallel_patches_of_one_version_exactly_one_wins(api, make):
    task = await make()
    patches = [
        api.patch(f"/tasks/{task['id']}", json={"title": f"{n}"}, headers={"If-Match": '"1"'}) for n in range(50)
    ]

    statuses = sorted(answer.status_code for answer in await asyncio.gather(*patches))

    assert statuses == [200] + [412] * 49
    assert (await api.get(f"/tasks/{task['id']}")).json()["version"] == 2


async def test_if_none_match_answers_304_until_the_task_changes(api, make):
    path = f"/tasks/{(await make())['id']}"

    same = await api.get(path, headers={"If-None-Match": '"1"'})
    await api.patch(path, json={"title": "x"})
    changed = await api.get(path, headers={"If-None-Match": '"1"'})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", '"1"')
    assert changed.status_code == 200


async def test_done_has_a_moment_and_every_other_status_has_none(api, make):
    path = f"/tasks/{(await make())['id']}"

    done = (await api.post(f"{path}/complete")).json()
    again = (await api.post(f"{path}/complete")).json()
    patched = (await api.patch(path, json={"status": "done"})).json()
    reopened = (await api.post(f"{path}/reopen")).json()

    assert done["status"] == "done"
    assert done["completed_at"] is not None
    assert again == done
    assert patched["completed_at"] == done["completed_at"]
    assert (reopened["status"], reopened["completed_at"]) == ("todo", None)


async def test_an_archived_task_is_listed_on_request_only(api, make):
    task = await make()
    archived = (await api.post(f"/tasks/{task['id']}/archive")).json()

    async def listed(value):
        return [item["id"] for item in (await api.get("/tasks", params={"archived": value})).json()["items"]]

    assert archived["archived_at"] is not None
    assert archived["status"] == "todo"
    assert [await listed(value) for value in ("false", "true", "any")] == [[], [task["id"]], [task["id"]]]
    assert (await api.post(f"/tasks/{task['id']}/unarchive")).json()["archived_at"] is None
    assert await listed("false") == [task["id"]]


async def test_a_subtask_goes_to_its_parents_project_unless_told_otherwise(app, api, make, ada, client, bob):
    project = (await api.post("/projects", json={"name": "House"})).json()
    other = (await api.post("/projects", json={"name": "Garden"})).json()
    parent = await make(project_id=project["id"])
    async with app.state.database.transaction() as session:
        session.add(WorkspaceMember(workspace_id=ada.workspace_id, user_id=bob.user_id, role="member"))

    mine = await make(parent_id=parent["id"])
    elsewhere = await make(parent_id=parent["id"], project_id=other["id"])
    shared = await client.post("/tasks", json={"title": "Bob's", "parent_id": parent["id"]}, headers=bob.headers)

    assert (mine["project_id"], elsewhere["project_id"]) == (project["id"], other["id"])
    assert (shared.status_code, shared.json()["project_id"]) == (201, project["id"]), shared.text


async def test_a_task_cannot_become_its_own_descendant(api, make):
    top = await make()
    middle = await make(parent_id=top["id"])
    bottom = await make(parent_id=middle["id"])

    circle = await api.patch(f"/tasks/{top['id']}", json={"parent_id": bottom["id"]})
    self_parent = await api.patch(f"/tasks/{top['id']}", json={"parent_id": top["id"]})

    assert [circle.status_code, self_parent.status_code] == [422, 422]
    assert circle.json()["code"] == "task_cycle"


async def test_two_moves_at_once_cannot_close_a_circle(api, make):
    one, two = await make(), await make()

    answers = await asyncio.gather(
        api.patch(f"/tasks/{one['id']}", json={"parent_id": two["id"]}),
        api.patch(f"/tasks/{two['id']}", json={"parent_id": one["id"]}),
    )

    assert 422 in [answer.status_code for answer in answers] or 503 in [answer.status_code for answer in answers]
    parents = [(await api.get(f"/tasks/{task['id']}")).json()["parent_id"] for task in (one, two)]
    assert None in parents


async def test_expand_adds_the_objects_beside_their_ids_and_drops_the_tag(api, ada):
    await api.post("/labels", json={"name": "Home", "color": "#00ff00"})
    task = (
        await api.post("/tasks", json={"title": "t", "labels": ["home"], "assignee_ids": [str(ada.user_id)]})
    ).json()

    answer = await api.get(f"/tasks/{task['id']}", params={"expand": "labels,project,assignees"})

    shown = answer.json()
    assert "etag" not in answer.headers
    assert [label["name"] for label in shown["labels"]] == ["Home"]
    assert shown["project"]["key"] == "INBOX"
    assert shown["assignees"] == [{"id": str(ada.user_id), "name": None, "email": ada.email}]
    assert (await api.get(f"/tasks/{task['id']}", params={"expand": "everything"})).status_code == 422


async def test_the_compiled_path_and_the_ordinary_path_give_the_same_rows(api, make, app, database, settings):
    from app.infra.database import Database
    from app.tasks import repository

    task = await make(description="x", recurrence={"rrule": "FREQ=DAILY"}, due_at="2030-01-31T17:00:00.123456Z")
    ordinary = Database(settings.model_copy(update={"database_compiled_statements": False}))
    await ordinary.start()
    params = {"task_id": task["id"], "workspace_ids": [task["workspace_id"]]}

    rows = [dict((await door.fetch(repository.GET, params))[0]) for door in (database, ordinary)]

    await ordinary.stop()
    assert rows[0] == rows[1]


async def test_what_is_dumped_is_what_validation_would_make_of_it(api, make):
    from app.tasks.schemas import TASK

    body = (await api.get(f"/tasks/{(await make(recurrence={'rrule': 'FREQ=DAILY'}))['id']}")).content

    assert TASK.dump_json(TASK.validate_json(body)) == body
