"""One project: made, read, changed, archived, deleted, restored."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from sqlalchemy import select, update

from app.models import Change, Project, Task, WorkspaceMember


async def inbox(api):
    return next(one for one in (await api.get("/projects")).json()["items"] if one["is_inbox"])


async def test_a_name_alone_makes_a_project_in_the_personal_workspace(api, ada):
    answer = await api.post("/projects", json={"name": "Garden"})

    project = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/projects/{project['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (project["key"], project["description"], project["is_inbox"]) == ("GARDEN", None, False)
    assert (project["workspace_id"], project["created_by"]) == (str(ada.workspace_id), str(ada.user_id))
    assert (await api.get(answer.headers["location"])).json() == project


async def test_every_writable_field_comes_back_as_it_was_sent(api, ada):
    sent = {
        "name": "Küche & Bad 🧱",
        "description": "*all*",
        "key": "KB2",
        "position": 2.5,
        "workspace_id": str(ada.workspace_id),
    }

    project = (await api.post("/projects", json=sent)).json()

    assert {name: project[name] for name in sent} == sent


async def test_a_new_account_has_an_inbox_and_nothing_else(api):
    (project,) = (await api.get("/projects")).json()["items"]

    assert (project["name"], project["key"], project["is_inbox"]) == ("Inbox", "INBOX", True)


async def test_the_keys_of_projects_with_one_name_are_numbered(make):
    keys = [(await make("/projects", name="Home"))["key"] for _ in range(3)]

    assert keys == ["HOME", "HOME2", "HOME3"]


async def test_projects_made_at_one_moment_get_keys_of_their_own(api):
    answers = await asyncio.gather(*(api.post("/projects", json={"name": "Home"}) for _ in range(6)))

    assert sorted(answer.json()["key"] for answer in answers) == ["HOME", "HOME2", "HOME3", "HOME4", "HOME5", "HOME6"]


async def test_a_key_that_is_taken_is_a_conflict_also_after_its_project_is_gone(api, project):
    first = await api.post("/projects", json={"name": "Other", "key": "HOUSE"})
    await api.delete(f"/projects/{project['id']}")
    second = await api.post("/projects", json={"name": "Other", "key": "HOUSE"})

    assert [first.status_code, second.status_code] == [409, 409]
    assert first.json()["code"] == "project_key_exists"


async def test_two_workspaces_may_use_one_key(client, ada, bob):
    for person in (ada, bob):
        answer = await client.post("/projects", json={"name": "Home", "key": "HOME"}, headers=person.headers)
        assert answer.status_code == 201


REFUSED = [
    ({}, "/name"),
    ({"name": ""}, "/name"),
    ({"name": "  "}, "/name"),
    ({"name": "x" * 101}, "/name"),
    ({"name": "\u0958" * 51}, "/name"),
    ({"name": "a\u0000b"}, "/name"),
    ({"name": None}, "/name"),
    ({"name": 5}, "/name"),
    ({"name": "x", "description": "x" * 10_001}, "/description"),
    ({"name": "x", "key": "x"}, "/key"),
    ({"name": "x", "key": "home"}, "/key"),
    ({"name": "x", "key": "HOME\n"}, "/key"),
    ({"name": "x", "key": "ABCDEFGHIJK"}, "/key"),
    ({"name": "x", "key": "2AB"}, "/key"),
    ({"name": "x", "position": "1"}, "/position"),
    ({"name": "x", "position": 1e16}, "/position"),
    ({"name": "x", "position": True}, "/position"),
    ({"name": "x", "workspace_id": "me"}, "/workspace_id"),
    ({"name": "x", "is_inbox": True}, "/is_inbox"),
]


async def test_what_cannot_be_stored_is_refused_with_a_pointer(api):
    answers = [await api.post("/projects", json=body) for body, _ in REFUSED]

    assert {answer.status_code for answer in answers} == {422}
    assert [answer.json()["errors"][0]["pointer"] for answer in answers] == [pointer for _, pointer in REFUSED]
    assert len((await api.get("/projects")).json()["items"]) == 1


async def test_a_workspace_that_is_not_mine_is_an_invalid_reference(api, bob):
    for workspace_id in (bob.workspace_id, uuid4()):
        answer = await api.post("/projects", json={"name": "x", "workspace_id": str(workspace_id)})

        assert answer.status_code == 422
        assert answer.json()["code"] == "invalid_reference"
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/workspace_id"]


async def test_a_patch_touches_only_what_was_sent(api, make):
    project = await make("/projects", name="House", description="old", position=3)

    answer = await api.patch(f"/projects/{project['id']}", json={"description": None})

    changed = answer.json()
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    assert changed["updated_at"] > project["updated_at"]
    expected = {**project, "description": None, "version": 2, "updated_at": changed["updated_at"]}
    assert changed == expected
    assert (await api.get(f"/projects/{project['id']}")).json() == expected


async def test_a_patch_that_changes_nothing_leaves_the_version(api, project):
    for patch in ({}, {"name": "House"}):
        answer = await api.patch(f"/projects/{project['id']}", json=patch)

        assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
        assert answer.json() == project


async def test_a_patch_of_what_cannot_change_is_refused(api, project):
    patches = [{"name": None}, {"position": None}, {"key": "OTHER"}, {"archived_at": None}]

    answers = [await api.patch(f"/projects/{project['id']}", json=patch) for patch in patches]

    assert {answer.status_code for answer in answers} == {422}
    pointers = [answer.json()["errors"][0]["pointer"] for answer in answers]
    assert pointers == ["/name", "/position", "/key", "/archived_at"]


async def test_each_change_of_a_project_is_recorded(api, ada, project, session):
    await api.patch(f"/projects/{project['id']}", json={"name": "Hut"})
    await api.post(f"/projects/{project['id']}/archive")
    await api.post(f"/projects/{project['id']}/unarchive")
    await api.delete(f"/projects/{project['id']}")
    await api.post(f"/projects/{project['id']}/restore")

    query = select(Change).where(Change.resource_id == project["id"]).order_by(Change.id)
    changes = list(await session.scalars(query))
    actions = ["created", "updated", "archived", "unarchived", "deleted", "restored"]
    assert [(one.action, one.version) for one in changes] == [(action, n) for n, action in enumerate(actions, 1)]
    assert (changes[1].before, changes[1].after) == ({"name": "House"}, {"name": "Hut"})
    assert {one.user_id for one in changes} == {ada.user_id}


async def test_archiving_takes_a_project_off_the_list_and_twice_is_as_once(api, project):
    first = await api.post(f"/projects/{project['id']}/archive")
    again = await api.post(f"/projects/{project['id']}/archive")
    listed = await api.get("/projects")
    back = await api.post(f"/projects/{project['id']}/unarchive")

    assert first.status_code == 200
    assert first.json()["archived_at"] is not None
    assert again.json() == first.json()
    assert project["id"] not in {one["id"] for one in listed.json()["items"]}
    assert (back.json()["archived_at"], back.headers["etag"]) == (None, '"3"')


async def test_the_inbox_stays(api):
    path = f"/projects/{(await inbox(api))['id']}"

    answers = [await api.delete(path), await api.post(path + "/archive")]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert answers[0].json()["code"] == "inbox_stays"
    assert (await api.get(path)).json()["version"] == 1


async def test_a_deleted_project_is_gone_and_its_tasks_are_in_the_trash(api, make, project):
    task = await make("/tasks", title="Tiles", project_id=project["id"])
    kept = await make("/tasks", title="Milk")

    answer = await api.delete(f"/projects/{project['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.get(f"/projects/{project['id']}")).status_code == 404
    assert (await api.delete(f"/projects/{project['id']}")).status_code == 404
    assert [one["id"] for one in (await api.get("/tasks")).json()["items"]] == [kept["id"]]
    (trashed,) = (await api.get("/tasks/trash")).json()["items"]
    assert (trashed["id"], trashed["version"]) == (task["id"], 2)
    assert trashed["deleted_at"] is not None


async def test_a_deleted_project_takes_no_new_task(api, project):
    await api.delete(f"/projects/{project['id']}")

    answer = await api.post("/tasks", json={"title": "Tiles", "project_id": project["id"]})

    assert answer.status_code == 422


async def test_the_tasks_of_a_deleted_project_have_it_in_their_history(api, make, project, session):
    task = await make("/tasks", title="Tiles", project_id=project["id"])

    await api.delete(f"/projects/{project['id']}")

    query = select(Change).where(Change.task_id == task["id"]).order_by(Change.id.desc()).limit(1)
    change = (await session.scalars(query)).one()
    gone = (await session.scalars(select(Project).where(Project.id == project["id"]))).one()
    assert (change.action, change.version, change.before) == ("deleted", 2, {"deleted_at": None})
    of_project = select(Change.operation_id).where(Change.resource_id == gone.id, Change.action == "deleted")
    assert change.operation_id == await session.scalar(of_project)


async def test_subtasks_in_other_projects_stay_without_their_parent(api, make, project):
    parent = await make("/tasks", title="Renovate", project_id=project["id"])
    errands = await make("/projects", name="Errands")
    child = await make("/tasks", title="Buy tiles", project_id=errands["id"], parent_id=parent["id"])

    await api.delete(f"/projects/{project['id']}")

    left = (await api.get(f"/tasks/{child['id']}")).json()
    assert (left["parent_id"], left["deleted_at"], left["version"]) == (None, None, 2)


async def test_a_task_whose_parent_is_still_in_the_trash_comes_back_with_its_project_as_one_of_its_own(
    api, make, project
):
    parent = await make("/tasks", title="elsewhere")
    child = await make("/tasks", title="here", project_id=project["id"], parent_id=parent["id"])
    await api.delete(f"/projects/{project['id']}")
    await api.delete(f"/tasks/{parent['id']}")

    await api.post(f"/projects/{project['id']}/restore")

    restored = (await api.get(f"/tasks/{child['id']}")).json()
    assert (restored["deleted_at"], restored["parent_id"]) == (None, None)


async def test_a_restored_project_has_the_tasks_that_went_with_it_and_no_others(api, make, project):
    before = await make("/tasks", title="Deleted before", project_id=project["id"])
    with_it = await make("/tasks", title="Deleted with it", project_id=project["id"])
    await api.delete(f"/tasks/{before['id']}")
    await api.delete(f"/projects/{project['id']}")

    answer = await api.post(f"/projects/{project['id']}/restore")

    assert (answer.status_code, answer.headers["etag"]) == (200, '"3"')
    assert (await api.get(f"/projects/{project['id']}")).json() == answer.json()
    assert [one["id"] for one in (await api.get("/tasks")).json()["items"]] == [with_it["id"]]
    assert [one["id"] for one in (await api.get("/tasks/trash")).json()["items"]] == [before["id"]]


async def test_restoring_a_project_that_is_there_changes_nothing(api, make, project):
    task = await make("/tasks", title="Tiles", project_id=project["id"])

    answer = await api.post(f"/projects/{project['id']}/restore")

    assert (answer.status_code, answer.json()) == (200, project)
    assert (await api.get(f"/tasks/{task['id']}")).json() == task


async def test_a_task_made_while_its_project_is_deleted_does_not_survive_it(app, api, project):
    """Whoever comes first: the task is refused, or it goes to the trash with the project."""
    made, _ = await asyncio.gather(
        asyncio.gather(*(api.post("/tasks", json={"title": "Tiles", "project_id": project["id"]}) for _ in range(6))),
        api.delete(f"/projects/{project['id']}"),
    )

    assert {answer.status_code for answer in made} <= {201, 409, 422}
    async with app.state.database.session() as session:
        living = select(Task.id).where(Task.project_id == project["id"], Task.deleted_at.is_(None))
        assert (await session.scalars(living)).all() == []


# --- preconditions ---------------------------------------------------------------------------------------------------

CHANGES = [
    ("PATCH", "", {"name": "Hut"}),
    ("DELETE", "", None),
    ("POST", "/archive", None),
    ("POST", "/unarchive", None),
]


async def test_a_change_of_another_version_is_refused_with_the_current_tag(api, project):
    path = f"/projects/{project['id']}"
    await api.patch(path, json={"name": "Changed"})

    for method, action, body in CHANGES:
        answer = await api.request(method, path + action, json=body, headers={"If-Match": '"1"'})

        assert (answer.status_code, answer.headers["etag"]) == (412, '"2"')
    assert (await api.get(path)).json()["version"] == 2


async def test_a_change_of_the_version_that_was_read_goes_through(api, project):
    for version, tag in enumerate(['"1"', "*", '"7", "3"'], 1):
        answer = await api.patch(
            f"/projects/{project['id']}", json={"name": f"Hut {version}"}, headers={"If-Match": tag}
        )

        assert answer.status_code == 200


async def test_of_two_changes_of_one_version_only_one_goes_through(api, project):
    answers = await asyncio.gather(
        *(
            api.patch(f"/projects/{project['id']}", json={"name": f"House {n}"}, headers={"If-Match": '"1"'})
            for n in range(4)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
    assert (await api.get(f"/projects/{project['id']}")).json()["version"] == 2


async def test_where_the_operator_asks_for_it_a_change_needs_if_match(app, api, project):
    app.state.settings.require_if_match = True

    for method, action, body in CHANGES:
        answer = await api.request(method, f"/projects/{project['id']}{action}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")


async def test_what_the_client_has_already_is_not_sent_again(api, project):
    path = f"/projects/{project['id']}"

    known = await api.get(path, headers={"If-None-Match": '"1"'})
    await api.patch(path, json={"name": "Hut"})
    changed = await api.get(path, headers={"If-None-Match": '"1"'})

    assert (known.status_code, known.headers["etag"], known.content) == (304, '"1"', b"")
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')


# --- who may ---------------------------------------------------------------------------------------------------------


async def test_the_project_of_somebody_else_does_not_exist(client, ada, bob):
    project = (await client.post("/projects", json={"name": "House"}, headers=ada.headers)).json()
    path = f"/projects/{project['id']}"

    answers = [
        await client.get(path, headers=bob.headers),
        await client.post(path + "/restore", headers=bob.headers),
        await client.get(path + "/sections", headers=bob.headers),
        await client.post(path + "/sections", json={"name": "Kitchen"}, headers=bob.headers),
        *[
            await client.request(method, path + action, json=body, headers=bob.headers)
            for method, action, body in CHANGES
        ],
    ]

    assert [answer.status_code for answer in answers] == [404] * 8
    assert (await client.get(path, headers=ada.headers)).json() == project


async def test_a_viewer_reads_and_does_not_write(app, client, ada, bob):
    project = (await client.post("/projects", json={"name": "House"}, headers=ada.headers)).json()
    async with app.state.database.transaction() as session:
        session.add(WorkspaceMember(workspace_id=ada.workspace_id, user_id=bob.user_id, role="viewer"))
    fresh = await signed_in_again(client, bob)

    read = await client.get(f"/projects/{project['id']}", headers=fresh)
    answers = [
        await client.post("/projects", json={"name": "x", "workspace_id": str(ada.workspace_id)}, headers=fresh),
        await client.post(f"/projects/{project['id']}/sections", json={"name": "Kitchen"}, headers=fresh),
        *[
            await client.request(method, f"/projects/{project['id']}{action}", json=body, headers=fresh)
            for method, action, body in CHANGES
        ],
    ]

    assert read.json() == project
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "role_too_low")] * 6


async def signed_in_again(client, person):
    """A new session: what the old one may do is remembered for up to a second."""
    answer = await client.post("/auth/login", data={"username": person.email, "password": person.password})
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_a_member_writes_in_the_workspace_of_somebody_else(app, client, ada, bob):
    async with app.state.database.transaction() as session:
        session.add(WorkspaceMember(workspace_id=ada.workspace_id, user_id=bob.user_id, role="viewer"))
        await session.flush()
        await session.execute(update(WorkspaceMember).where(WorkspaceMember.role == "viewer").values(role="member"))
    fresh = await signed_in_again(client, bob)

    answer = await client.post("/projects", json={"name": "x", "workspace_id": str(ada.workspace_id)}, headers=fresh)

    assert answer.status_code == 201
    assert (await client.get(answer.headers["location"], headers=ada.headers)).json() == answer.json()


async def test_without_a_token_nothing_is_served(client, ada):
    answers = [await client.get("/projects"), await client.post("/projects", json={"name": "House"})]

    assert [answer.status_code for answer in answers] == [401, 401]
