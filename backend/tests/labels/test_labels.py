"""Labels: words on tasks of one workspace."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from app.changes.recorder import Actor
from app.kit.errors import InvalidReference
from app.kit.ids import new_id
from app.labels.service import labels_named
from app.models import Change, Label, TaskLabel, WorkspaceMember


async def make(api, name, **fields):
    answer = await api.post("/labels", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_name_alone_makes_a_label_in_the_personal_workspace(api, ada):
    answer = await api.post("/labels", json={"name": "home"})

    label = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/labels/{label['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (label["name"], label["color"], label["workspace_id"]) == ("home", None, str(ada.workspace_id))
    assert (await api.get(answer.headers["location"])).json() == label


async def test_a_name_that_is_there_is_a_conflict_whatever_its_case(api):
    await make(api, "home")

    for name in ("home", "HOME", "Home"):
        answer = await api.post("/labels", json={"name": name})

        assert (answer.status_code, answer.json()["code"]) == (409, "label_exists")


async def test_of_labels_of_one_name_made_at_one_moment_one_is_made(api):
    answers = await asyncio.gather(*(api.post("/labels", json={"name": "home"}) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]


async def test_two_workspaces_may_have_the_same_name(client, ada, bob):
    for person in (ada, bob):
        answer = await client.post("/labels", json={"name": "home"}, headers=person.headers)
        assert answer.status_code == 201


REFUSED = [
    ({}, "/name"),
    ({"name": " "}, "/name"),
    ({"name": "x" * 101}, "/name"),
    ({"name": "x", "color": "red"}, "/color"),
    ({"name": "x", "color": "#FFFFFF"}, "/color"),
    ({"name": "x", "color": "#ffffff\n"}, "/color"),
    ({"name": "x", "colour": "#ffffff"}, "/colour"),
    ({"name": "x", "workspace_id": 1}, "/workspace_id"),
]


async def test_what_cannot_be_stored_is_refused_with_a_pointer(api):
    answers = [await api.post("/labels", json=body) for body, _ in REFUSED]

    assert {answer.status_code for answer in answers} == {422}
    assert [answer.json()["errors"][0]["pointer"] for answer in answers] == [pointer for _, pointer in REFUSED]
    assert (await api.get("/labels")).json()["items"] == []


async def test_a_patch_touches_only_what_was_sent(api):
    label = await make(api, "home", color="#112233")

    renamed = await api.patch(f"/labels/{label['id']}", json={"name": "HOME"}, headers={"If-Match": '"1"'})
    plain = await api.patch(f"/labels/{label['id']}", json={"color": None})
    stale = await api.patch(f"/labels/{label['id']}", json={"color": "#445566"}, headers={"If-Match": '"1"'})
    refused = await api.patch(f"/labels/{label['id']}", json={"name": None})

    assert (renamed.json()["name"], renamed.json()["color"], renamed.headers["etag"]) == ("HOME", "#112233", '"2"')
    assert (plain.json()["name"], plain.json()["color"], plain.headers["etag"]) == ("HOME", None, '"3"')
    assert (stale.status_code, stale.headers["etag"]) == (412, '"3"')
    assert refused.status_code == 422


async def test_renaming_to_a_name_that_is_there_is_a_conflict_and_changes_nothing(api):
    await make(api, "home")
    work = await make(api, "work")

    answer = await api.patch(f"/labels/{work['id']}", json={"name": "Home"})

    assert (answer.status_code, answer.json()["code"]) == (409, "label_exists")
    assert (await api.get(f"/labels/{work['id']}")).json() == work


async def test_labels_are_listed_by_name_in_pages(api):
    for name in ("delta", "Alpha", "charlie", "Bravo"):
        await make(api, name)

    first = (await api.get("/labels", params={"limit": 3, "count": "true"})).json()
    second = (await api.get("/labels", params={"limit": 3, "count": "true", "cursor": first["next_cursor"]})).json()
    newest = (await api.get("/labels", params={"sort": "-created_at"})).json()

    assert [one["name"] for one in first["items"]] == ["Alpha", "Bravo", "charlie"]
    assert [one["name"] for one in second["items"]] == ["delta"]
    assert (first["total_count"], second["next_cursor"]) == (4, None)
    assert [one["name"] for one in newest["items"]] == ["Bravo", "charlie", "Alpha", "delta"]


async def test_a_label_is_not_sent_again_to_who_has_it(api):
    label = await make(api, "home")

    answer = await api.get(f"/labels/{label['id']}", headers={"If-None-Match": '"1"'})

    assert (answer.status_code, answer.headers["etag"], answer.content) == (304, '"1"', b"")


async def test_deleting_a_label_takes_it_off_its_tasks_and_changes_their_tags(api, session):
    home, work = await make(api, "home"), await make(api, "work")
    both = (await api.post("/tasks", json={"title": "Both", "label_ids": [home["id"], work["id"]]})).json()
    trashed = (await api.post("/tasks", json={"title": "Trashed", "label_ids": [home["id"]]})).json()
    other = (await api.post("/tasks", json={"title": "Other", "label_ids": [work["id"]]})).json()
    await api.delete(f"/tasks/{trashed['id']}")

    answer = await api.delete(f"/labels/{home['id']}", headers={"If-Match": '"1"'})

    assert answer.status_code == 204
    assert (await api.get(f"/labels/{home['id']}")).status_code == 404
    left = await api.get(f"/tasks/{both['id']}")
    assert (left.json()["label_ids"], left.headers["etag"]) == ([work["id"]], '"2"')
    assert (await api.get(f"/tasks/{other['id']}")).json() == other
    assert (await api.get("/tasks/trash")).json()["items"][0]["label_ids"] == []
    change = await session.scalar(select(Change).where(Change.task_id == both["id"]).order_by(Change.id.desc()))
    assert (change.action, change.version) == ("updated", 2)
    assert change.before == {"label_ids": sorted([home["id"], work["id"]])}
    assert change.after == {"label_ids": [work["id"]]}
    gone = await session.scalar(select(Change).where(Change.resource_id == home["id"]).order_by(Change.id.desc()))
    assert (gone.action, gone.version, gone.before) == ("deleted", 2, {"name": "home"})


async def test_a_task_labelled_while_the_label_is_deleted_does_not_keep_it(api, session):
    label = await make(api, "home")
    body = {"title": "Tiles", "label_ids": [label["id"]]}

    made, gone = await asyncio.gather(
        asyncio.gather(*(api.post("/tasks", json=body) for _ in range(6))), api.delete(f"/labels/{label['id']}")
    )

    assert gone.status_code == 204
    assert {answer.status_code for answer in made} <= {201, 409, 422}
    assert await session.scalar(select(func.count()).select_from(TaskLabel)) == 0


async def test_the_label_of_somebody_else_does_not_exist(client, ada, bob):
    label = (await client.post("/labels", json={"name": "home"}, headers=ada.headers)).json()
    path = f"/labels/{label['id']}"

    answers = [
        await client.get(path, headers=bob.headers),
        await client.patch(path, json={"name": "x"}, headers=bob.headers),
        await client.delete(path, headers=bob.headers),
    ]
    foreign = await client.post(
        "/labels", json={"name": "x", "workspace_id": str(ada.workspace_id)}, headers=bob.headers
    )

    assert [answer.status_code for answer in answers] == [404] * 3
    assert (await client.get("/labels", headers=bob.headers)).json()["items"] == []
    assert (foreign.status_code, foreign.json()["code"]) == (422, "invalid_reference")


async def test_a_viewer_reads_and_does_not_write(app, client, ada, bob):
    label = (await client.post("/labels", json={"name": "home"}, headers=ada.headers)).json()
    async with app.state.database.transaction() as session:
        session.add(WorkspaceMember(workspace_id=ada.workspace_id, user_id=bob.user_id, role="viewer"))
    login = await client.post("/auth/login", data={"username": bob.email, "password": bob.password})
    viewer = {"Authorization": f"Bearer {login.json()['access_token']}"}
    path = f"/labels/{label['id']}"

    answers = [
        await client.patch(path, json={"name": "x"}, headers=viewer),
        await client.delete(path, headers=viewer),
        await client.post("/labels", json={"name": "x", "workspace_id": str(ada.workspace_id)}, headers=viewer),
    ]

    assert (await client.get(path, headers=viewer)).json() == label
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "role_too_low")] * 3


# --- by name ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def actor():
    return Actor(None, new_id())


async def test_names_give_ids_whatever_their_case(api, ada, session, actor):
    home = await make(api, "home")

    found = await labels_named(session, actor, ada.workspace_id, ["HOME", "Home"], create=False)

    assert {name: str(label_id) for name, label_id in found.items()} == {"HOME": home["id"], "Home": home["id"]}


async def test_unknown_names_are_made_once_where_that_is_wanted(api, ada, session, actor):
    await make(api, "home")
    names = ["home", "new", "NEW", "Ünder"]

    found = await labels_named(session, actor, ada.workspace_id, names, create=True)
    again = await labels_named(session, actor, ada.workspace_id, [*names, "üNDER"], create=True)

    assert set(found) == set(names)
    assert found["new"] == found["NEW"]
    assert again == {**found, "üNDER": found["Ünder"]}
    assert await session.scalar(select(func.count()).select_from(Label)) == 3
    made = select(Change.resource_id).where(Change.resource == "label", Change.operation_id == actor.operation_id)
    assert set(await session.scalars(made)) == {found["new"], found["Ünder"]}


async def test_unknown_names_are_invalid_references_otherwise(api, ada, session, actor):
    await make(api, "home")

    with pytest.raises(InvalidReference) as refused:
        await labels_named(session, actor, ada.workspace_id, ["nope", "home", "neither"], create=False)

    assert [problem.pointer for problem in refused.value.errors] == ["/labels/0", "/labels/2"]


async def test_no_names_are_no_labels(session, actor):
    assert await labels_named(session, actor, uuid4(), [], create=True) == {}


async def test_imports_that_make_the_same_names_do_not_wait_for_each_other_for_ever(app, api, ada, actor):
    async def import_names(names):
        async with app.state.database.transaction() as session:
            return await labels_named(session, actor, ada.workspace_id, names, create=True)

    names = [f"{letter}{number}" for number in range(20) for letter in "aBcD"]
    swapped = [name.swapcase() for name in reversed(names)]

    first, second = await asyncio.gather(import_names(names), import_names(swapped))

    assert {name.lower(): one for name, one in first.items()} == {name.lower(): one for name, one in second.items()}
