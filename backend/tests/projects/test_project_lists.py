"""Lists of projects: filters, orders, pages."""

from __future__ import annotations

import pytest


async def names(api, **query):
    answer = await api.get("/projects", params=query)
    assert answer.status_code == 200, answer.text
    return [project["name"] for project in answer.json()["items"]]


async def paged(api, path, **query):
    """All items, page by page."""
    found, cursor = [], None
    while True:
        answer = await api.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= query["limit"]
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.fixture
async def some(make):
    """With the inbox: equal positions, names that differ in case, accents."""
    made = [("beta", 1), ("Alpha", 1), ("Émile", 0.5), ("alpha", 2), ("Zulu", -3), ("beta", 1)]
    return [await make("/projects", name=name, position=position) for name, position in made]


async def test_projects_are_listed_by_position_and_new_ones_last(api, make):
    for name in ("One", "Two", "Three"):
        await make("/projects", name=name)

    assert await names(api) == ["Inbox", "One", "Two", "Three"]


async def test_a_project_can_be_put_between_two_others(api, make):
    one, two = await make("/projects", name="One"), await make("/projects", name="Two")
    three = await make("/projects", name="Three")

    await api.patch(f"/projects/{three['id']}", json={"position": (one["position"] + two["position"]) / 2})

    assert await names(api) == ["Inbox", "One", "Three", "Two"]


async def test_projects_are_sorted_as_asked(api, some):
    assert await names(api, sort="-created_at") == ["beta", "Zulu", "alpha", "Émile", "Alpha", "beta", "Inbox"]
    assert (await names(api, sort="-name,created_at"))[-2:] == ["Alpha", "alpha"]
    assert (await names(api, sort="name,-position"))[:4] == ["alpha", "Alpha", "beta", "beta"]


SORTS = ["position", "-position", "name", "-name,position", "name,-created_at", "-position,-name", "created_at"]


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_pages_hold_what_one_page_would(api, some, limit):
    for sort in SORTS:
        whole = (await api.get("/projects", params={"sort": sort, "limit": 100})).json()

        assert len(whole["items"]) == 7
        assert whole["next_cursor"] is None
        assert await paged(api, "/projects", sort=sort, limit=limit) == whole["items"]


async def test_a_project_made_between_two_pages_neither_repeats_nor_hides_one(api, make, some):
    first = (await api.get("/projects", params={"sort": "name", "limit": 3})).json()
    await make("/projects", name="aaa")
    rest = await paged(api, "/projects", sort="name", limit=3, cursor=first["next_cursor"])

    seen = [project["id"] for project in first["items"] + rest]
    assert len(seen) == len(set(seen)) == 7


async def test_archived_projects_are_listed_on_request(api, make):
    project = await make("/projects", name="Old")
    await api.post(f"/projects/{project['id']}/archive")

    assert await names(api) == ["Inbox"]
    assert await names(api, archived="true") == ["Old"]
    assert await names(api, archived="any") == ["Inbox", "Old"]


async def test_the_total_is_told_on_request(api, some):
    counted = (await api.get("/projects", params={"count": "true", "limit": 2})).json()
    plain = (await api.get("/projects", params={"limit": 2})).json()

    assert counted["total_count"] == 7
    assert "total_count" not in plain


async def test_lists_can_be_narrowed_to_workspaces(api, ada, bob, some):
    mine = await api.get("/projects", params={"workspace": [str(ada.workspace_id), str(bob.workspace_id)]})
    foreign = await api.get("/projects", params={"workspace": str(bob.workspace_id), "count": "true"})

    assert len(mine.json()["items"]) == 7
    assert foreign.json() == {"items": [], "next_cursor": None, "total_count": 0}


async def test_a_cursor_belongs_to_its_query_its_list_and_its_caller(client, ada, bob):
    for person in (ada, bob):
        await client.post("/projects", json={"name": "House"}, headers=person.headers)
    first = await client.get("/projects", params={"limit": 1}, headers=ada.headers)
    cursor = first.json()["next_cursor"]

    answers = [
        await client.get("/projects", params={"cursor": cursor, "sort": "name"}, headers=ada.headers),
        await client.get("/projects", params={"cursor": cursor, "archived": "any"}, headers=ada.headers),
        await client.get("/projects", params={"cursor": cursor}, headers=bob.headers),
        await client.get("/labels", params={"cursor": cursor}, headers=ada.headers),
    ]

    assert [(answer.status_code, answer.json()["errors"][0]["code"]) for answer in answers] == [
        (422, "invalid_cursor")
    ] * 4
    assert (
        await client.get("/projects", params={"cursor": cursor, "limit": 5}, headers=ada.headers)
    ).status_code == 200


REFUSED = [
    ("limit=0", "?limit"),
    ("limit=101", "?limit"),
    ("limit=x", "?limit"),
    ("sort=rank", "?sort"),
    ("sort=id", "?sort"),
    ("sort=", "?sort"),
    ("sort=name,-name", "?sort"),
    ("sort=name&sort=position", "?sort"),
    ("archived=maybe", "?archived"),
    ("cursor=abc", "?cursor"),
    ("cursor=%00%ff", "?cursor"),
    ("workspace=x", "?workspace/0"),
    ("q=house", "?"),
]


async def test_a_query_that_is_not_served_is_refused(api):
    answers = [await api.get(f"/projects?{query}") for query, _ in REFUSED]

    assert {answer.status_code for answer in answers} == {422}
    assert [answer.json()["errors"][0]["pointer"] for answer in answers] == [pointer for _, pointer in REFUSED]
