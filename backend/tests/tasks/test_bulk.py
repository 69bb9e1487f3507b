"""Many tasks in one request."""

from __future__ import annotations

from uuid import uuid4


async def test_one_bulk_creates_updates_and_deletes(api, make):
    keep, drop = await make(title="keep"), await make(title="drop")

    answer = await api.post(
        "/tasks/bulk",
        json={
            "create": [{"title": "one"}, {"title": "two", "parent_id": keep["id"]}],
            "update": [{"id": keep["id"], "status": "done"}],
            "delete": [drop["id"]],
        },
    )

    result = answer.json()
    assert answer.status_code == 200, answer.text
    assert [task["title"] for task in result["created"]] == ["one", "two"]
    assert result["updated"][0]["status"] == "done"
    assert result["updated"][0]["title"] == "keep"
    assert result["deleted"] == [drop["id"]]
    assert {item["title"] for item in (await api.get("/tasks")).json()["items"]} == {"one", "two", "keep"}


async def test_an_atomic_bulk_names_the_failing_entry_and_writes_nothing(api, make):
    task = await make(title="untouched")

    for body, pointer in (
        ({"create": [{"title": "a"}, {"title": "b", "project_id": str(uuid4())}]}, "/create/1/project_id"),
        ({"create": [{"title": "a"}, {"title": ""}]}, "/create/1/title"),
        ({"create": [{"title": "a"}], "update": [{"id": str(uuid4()), "title": "x"}]}, "/update/0"),
        ({"update": [{"id": task["id"], "title": "x", "version": 7}]}, "/update/0"),
        ({"create": [{"title": "a"}], "delete": [str(uuid4())]}, "/delete/0"),
    ):
        answer = await api.post("/tasks/bulk", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == pointer

    assert [item["title"] for item in (await api.get("/tasks")).json()["items"]] == ["untouched"]


async def test_a_bulk_that_is_not_atomic_gives_each_entry_its_own_result(api, make):
    task = await make()
    body = {
        "atomic": False,
        "create": [{"title": "good"}, {"title": "bad", "labels": ["nowhere"]}, {"title": "good too"}],
        "update": [{"id": str(uuid4()), "title": "x"}, {"id": task["id"], "title": "y"}],
        "delete": [str(uuid4()), task["id"]],
    }

    result = (await api.post("/tasks/bulk", json=body)).json()

    assert [entry["status"] for entry in result["created"]] == [201, 422, 201]
    assert result["created"][1]["problem"]["errors"][0]["pointer"] == "/labels/0"
    assert [entry["status"] for entry in result["updated"]] == [404, 200]
    assert [entry["status"] for entry in result["deleted"]] == [404, 204]
    assert {item["title"] for item in (await api.get("/tasks")).json()["items"]} == {"good", "good too"}


async def test_where_if_match_is_compulsory_a_bulk_says_of_which_version_it_speaks(app, api, make):
    task = await make()
    app.state.settings.require_if_match = True
    unread = {"id": task["id"], "title": "x"}
    bodies = [{"update": [unread]}, {"delete": [task["id"]]}]

    refused = [await api.post("/tasks/bulk", json=body) for body in bodies]
    alone = await api.post("/tasks/bulk", json={"atomic": False, **bodies[0], **bodies[1]})
    unchanged = await api.get(f"/tasks/{task['id']}")
    read = await api.post("/tasks/bulk", json={"create": [{"title": "new"}], "update": [{**unread, "version": 1}]})

    assert [answer.json()["errors"][0]["pointer"] for answer in refused] == ["/update/0", "/delete/0"]
    assert [answer.json()["errors"][0]["code"] for answer in refused] == ["precondition_required"] * 2
    assert [alone.json()[name][0]["status"] for name in ("updated", "deleted")] == [428, 428]
    assert unchanged.json() == task
    assert (read.status_code, read.json()["updated"][0]["title"]) == (200, "x")


async def test_more_than_500_entries_are_refused_as_a_whole(api):
    answer = await api.post("/tasks/bulk", json={"create": [{"title": "t"}] * 300, "delete": [str(uuid4())] * 201})

    assert answer.status_code == 422
    assert (await api.get("/tasks")).json()["items"] == []


async def test_a_repeated_bulk_with_one_key_writes_once(api):
    body, headers = {"create": [{"title": "t"}] * 3}, {"Idempotency-Key": "bulk-1"}

    first, second = [await api.post("/tasks/bulk", json=body, headers=headers) for _ in range(2)]

    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    assert len((await api.get("/tasks")).json()["items"]) == 3
