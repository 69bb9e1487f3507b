"""Who changed what, from the record of changes."""

from __future__ import annotations


async def test_each_mutation_is_one_entry_with_the_touched_fields_before_and_after(api, make, ada):
    await api.post("/labels", json={"name": "red"})
    task = await make(title="first")
    path = f"/tasks/{task['id']}"
    await api.patch(path, json={"title": "second", "labels": ["red"]})
    await api.post(f"{path}/complete")
    await api.delete(path)
    await api.post(f"{path}/restore")

    items = (await api.get(f"{path}/history")).json()["items"]

    assert [item["action"] for item in items] == ["restored", "deleted", "completed", "updated", "created"]
    assert [item["version"] for item in items] == [5, 4, 3, 2, 1]
    assert {item["user_id"] for item in items} == {str(ada.user_id)}
    assert items[3]["before"] == {"title": "first", "label_ids": []}
    assert items[3]["after"]["title"] == "second"
    assert len(items[3]["after"]["label_ids"]) == 1
    assert items[2]["before"] == {"status": "todo", "completed_at": None}
    assert items[4]["after"]["title"] == "first"


async def test_a_refused_change_leaves_no_entry(api, make):
    path = f"/tasks/{(await make())['id']}"

    await api.patch(path, json={"title": "x"}, headers={"If-Match": '"9"'})
    await api.patch(path, json={"labels": ["nowhere"]})

    assert [item["action"] for item in (await api.get(f"{path}/history")).json()["items"]] == ["created"]


async def test_history_comes_in_pages(api, make):
    path = f"/tasks/{(await make())['id']}"
    for n in range(4):
        await api.patch(path, json={"title": str(n)})

    first = (await api.get(f"{path}/history", params={"limit": 3})).json()
    second = (await api.get(f"{path}/history", params={"limit": 3, "cursor": first["next_cursor"]})).json()

    assert [item["version"] for item in first["items"] + second["items"]] == [5, 4, 3, 2, 1]
    assert second["next_cursor"] is None
