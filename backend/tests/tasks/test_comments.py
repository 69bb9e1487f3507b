"""What people say about a task."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from app.models import Task


@pytest.fixture
async def path(make):
    return f"/tasks/{(await make())['id']}/comments"


async def test_a_comment_is_added_changed_and_deleted_and_the_history_keeps_it(api, path, ada):
    created = await api.post(path, json={"body": "First"})
    place = created.headers["location"]
    read = await api.get(place)
    changed = await api.patch(place, json={"body": "Second"}, headers={"If-Match": created.headers["etag"]})
    stale = await api.patch(place, json={"body": "Third"}, headers={"If-Match": created.headers["etag"]})
    deleted = await api.delete(place)

    assert created.status_code == 201
    assert created.json()["author_id"] == str(ada.user_id)
    assert read.json() == created.json()
    assert (changed.json()["body"], changed.json()["version"]) == ("Second", 2)
    assert stale.status_code == 412
    assert (deleted.status_code, (await api.get(place)).status_code) == (204, 404)
    history = (await api.get(path.removesuffix("comments") + "history")).json()["items"]
    assert [(item["resource"], item["action"]) for item in history] == [
        ("comment", "deleted"),
        ("comment", "updated"),
        ("comment", "created"),
        ("task", "created"),
    ]
    assert history[1]["before"] == {"body": "First"}


async def test_comments_are_listed_the_oldest_first_in_pages(api, path):
    for n in range(3):
        await api.post(path, json={"body": str(n)})

    first = (await api.get(path, params={"limit": 2})).json()
    second = (await api.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [item["body"] for item in first["items"] + second["items"]] == ["0", "1", "2"]


async def test_a_foreign_or_deleted_task_takes_no_comments_and_shows_none(api, path, client, bob):
    comment = (await api.post(path, json={"body": "mine"})).headers["location"]
    foreign = [
        await client.get(path, headers=bob.headers),
        await client.post(path, json={"body": "x"}, headers=bob.headers),
        await client.get(comment, headers=bob.headers),
        await client.patch(comment, json={"body": "x"}, headers=bob.headers),
        await client.delete(comment, headers=bob.headers),
    ]
    await api.delete(path.removesuffix("/comments"))
    gone = [
        await api.get(path),
        await api.post(path, json={"body": "x"}),
        await api.get(comment),
        await api.patch(comment, json={"body": "x"}),
        await api.delete(comment),
    ]

    assert {answer.status_code for answer in foreign + gone} == {404}
    await api.post(path.removesuffix("/comments") + "/restore")
    assert (await api.get(comment)).json()["body"] == "mine"


async def test_comments_are_listed_while_their_task_is_being_changed(app, api, path):
    async with app.state.database.session() as other:
        await other.execute(select(Task).with_for_update())
        answer = await api.get(path)

    assert answer.status_code == 200


@pytest.mark.parametrize("body", ["", "   ", "a\x00b", "x" * 65_537])
async def test_a_comment_without_text_or_with_too_much_is_refused(api, path, body):
    answer = await api.post(path, json={"body": body})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body")
