"""`GET /tasks`: pages, filters, orders, search."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

DATES = [None, "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z", "2031-01-01T00:00:00Z"]


async def titles(api, **params):
    answer = await api.get("/tasks", params=params)
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]


async def walk(api, **params):
    """Every item of all pages."""
    items, cursor = [], None
    while True:
        answer = await api.get("/tasks", params={**params, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return items


async def test_the_newest_come_first_and_the_last_page_has_no_cursor(api, make):
    for n in range(5):
        await make(title=str(n))

    page = (await api.get("/tasks", params={"limit": 5})).json()

    assert [item["title"] for item in page["items"]] == ["4", "3", "2", "1", "0"]
    assert page["next_cursor"] is None


async def test_a_page_shows_a_task_exactly_as_the_task_itself_does(api, make):
    task = await make(description="x")

    assert (await api.get("/tasks")).json()["items"] == [task]


async def test_pages_hold_each_row_once_while_others_come_and_go(api, make, app):
    for n in range(40):
        await make(title=str(n))
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE tasks SET created_at = '2030-01-01T00:00:00Z'"))
    first = (await api.get("/tasks", params={"limit": 7})).json()
    seen, cursor = [item["title"] for item in first["items"]], first["next_cursor"]
    survivors = {str(n) for n in range(40)} - {"3"}

    for step in itertools.count():
        if cursor is None:
            break
        await make(title=f"new {step}")
        if step == 0:
            gone = [i for i in (await api.get("/tasks", params={"limit": 100})).json()["items"] if i["title"] == "3"]
            await api.delete(f"/tasks/{gone[0]['id']}")
        page = (await api.get("/tasks", params={"limit": 7, "cursor": cursor})).json()
        seen += [item["title"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert len(seen) == len(set(seen))
    assert survivors <= set(seen)


@pytest.mark.parametrize(
    "sort",
    [
        "due_at", "-due_at", "priority,-due_at", "-priority,due_at", "status,-priority,due_at", "title", "-title",
        "position,-created_at", "start_at", "completed_at", "-updated_at",
    ],
)  # fmt: skip
async def test_every_order_walks_all_rows_in_the_order_of_one_big_page(api, make, sort):
    statuses, priorities = ["todo", "blocked", "done"], ["none", "low", "urgent"]
    for n in range(12):
        await make(
            title=f"t{n % 5}",
            due_at=DATES[n % 4],
            start_at=DATES[(n + 1) % 4],
            status=statuses[n % 3],
            priority=priorities[n % 2],
            position=float(n % 3) / 3,
        )

    whole = [item["id"] for item in await walk(api, sort=sort, limit=100)]
    paged = [item["id"] for item in await walk(api, sort=sort, limit=1)]

    assert len(set(whole)) == 12
    assert paged == whole


async def test_rows_without_a_date_come_last_in_both_directions(api, make):
    for title, due in (("none", None), ("early", DATES[1]), ("late", DATES[3])):
        await make(title=title, due_at=due)

    assert await titles(api, sort="due_at") == ["early", "late", "none"]
    assert await titles(api, sort="-due_at") == ["late", "early", "none"]


async def test_priorities_sort_by_rank_and_not_by_letter(api, make):
    for priority in ("medium", "urgent", "none", "high", "low"):
        await make(title=priority, priority=priority)

    assert await titles(api, sort="-priority") == ["urgent", "high", "medium", "low", "none"]


async def test_filters_narrow_and_repeats_widen(api, make, ada):
    await api.post("/labels", json={"name": "red"})
    await api.post("/labels", json={"name": "blue"})
    project = (await api.post("/projects", json={"name": "P"})).json()
    section = (await api.post(f"/projects/{project['id']}/sections", json={"name": "S"})).json()
    parent = await make(title="parent", status="in_progress", priority="high", due_at="2020-01-01T00:00:00Z")
    await make(title="child", parent_id=parent["id"], labels=["red"], due_at="2035-01-01T00:00:00Z")
    await make(title="placed", project_id=project["id"], section_id=section["id"], labels=["blue"], status="done")
    await make(title="mine", assignee_ids=[str(ada.user_id)], priority="urgent")
    everything = {"parent", "child", "placed", "mine"}

    async def found(**params):
        return set(await titles(api, **params))

    assert await found() == everything
    assert await found(status="todo") == {"child", "mine"}
    assert await found(status=["in_progress", "done"]) == {"parent", "placed"}
    assert await found(priority=["high", "urgent"]) == {"parent", "mine"}
    assert await found(label="RED") == {"child"}
    assert await found(label=["red", "blue"]) == {"child", "placed"}
    assert await found(assignee="me") == {"mine"}
    assert await found(assignee=str(ada.user_id)) == {"mine"}
    assert await found(project=project["id"]) == {"placed"}
    assert await found(section=section["id"]) == {"placed"}
    assert await found(parent=parent["id"]) == {"child"}
    assert await found(workspace=str(ada.workspace_id)) == everything
    assert await found(workspace=str(uuid4())) == set()
    assert await found(created_by=str(ada.user_id)) == everything
    assert await found(due_before="2030-01-01T00:00:00Z") == {"parent"}
    assert await found(due_after="2030-01-01T00:00:00Z") == {"child"}
    assert await found(overdue="true") == {"parent"}
    assert await found(overdue="false") == everything - {"parent"}
    assert await found(updated_since=datetime.now(UTC).isoformat()) == set()
    assert await found(status="todo", label="red", priority="none") == {"child"}


async def test_the_total_comes_on_request_only(api, make):
    for _ in range(3):
        await make()

    assert "total_count" not in (await api.get("/tasks")).json()
    assert (await api.get("/tasks", params={"count": "true", "limit": 1})).json()["total_count"] == 3


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"colour": "red"}, "?"),
        ({"limit": "0"}, "?limit"),
        ({"limit": "101"}, "?limit"),
        ({"limit": "1_0"}, "?limit"),
        ({"sort": "password"}, "?sort"),
        ({"sort": "due_at,due_at"}, "?sort"),
        ({"sort": "due_at; DROP TABLE tasks"}, "?sort"),
        ({"status": "open"}, "?status"),
        ({"cursor": "AAAA"}, "?cursor"),
        ({"assignee": "nobody"}, "?assignee"),
        ({"due_before": "yesterday"}, "?due_before"),
        ({"project": "x"}, "?project"),
        ({"expand": "secrets"}, "?expand"),
        ([("limit", "1"), ("limit", "2")], "?limit"),
    ],
)
async def test_what_the_query_does_not_know_is_refused_and_not_ignored(api, params, pointer):
    answer = await api.get("/tasks", params=params)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


async def test_a_cursor_serves_only_the_query_and_the_person_it_was_made_for(api, make, client, bob):
    for _ in range(3):
        await make()
    cursor = (await api.get("/tasks", params={"limit": 1})).json()["next_cursor"]

    other_query = await api.get("/tasks", params={"cursor": cursor, "status": "todo"})
    other_person = await client.get("/tasks", params={"cursor": cursor}, headers=bob.headers)
    larger_page = await api.get("/tasks", params={"cursor": cursor, "limit": 2})

    assert [other_query.status_code, other_person.status_code, larger_page.status_code] == [422, 422, 200]


async def test_search_finds_words_prefixes_forms_accents_and_typos(api, make):
    await make(title="Receive the crème brûlée recipe")
    await make(title="Paint the fence", description="The painters come on Monday")
    commented = await make(title="Nothing here")
    answer = await api.post(f"/tasks/{commented['id']}/comments", json={"body": "Ask about the zeppelin"})
    assert answer.status_code == 201, answer.text

    assert await titles(api, q="recipe") == ["Receive the crème brûlée recipe"]
    assert await titles(api, q="creme brulee") == ["Receive the crème brûlée recipe"]
    assert await titles(api, q="reci") == ["Receive the crème brûlée recipe"]
    assert await titles(api, q="painting") == ["Paint the fence"]
    assert await titles(api, q="recieve") == ["Receive the crème brûlée recipe"]
    assert await titles(api, q="zeppelin") == ["Nothing here"]
    assert await titles(api, q="submarine") == []


async def test_a_match_in_the_title_ranks_before_one_in_the_description(api, make):
    await make(title="Second", description="the boiler needs care")
    await make(title="Repair the boiler")
    await make(title="Third", description="a boiler, somewhere " + "in many other words " * 50)

    assert (await titles(api, q="boiler"))[0] == "Repair the boiler"
    assert [item["title"] for item in await walk(api, q="boiler", limit=1)] == await titles(api, q="boiler")


words = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd")), min_size=1, max_size=30)
one_app_for_all = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@one_app_for_all
@given(q=st.text(max_size=200))
@example(q="2½")
@example(q="ʻohana ⑴ ː")
@example(q="a & | ! <-> b :* () ' \\ %%%% _")
async def test_search_takes_any_text_as_words(api, q):
    assert (await api.get("/tasks", params={"q": q})).status_code in {200, 422}


@one_app_for_all
@given(before=words, word=words, after=words)
@example(before="Half", word="½", after="a cup")
@example(before="The", word="ʻohana", after="comes")
async def test_a_word_of_its_title_finds_a_task(api, make, before, word, after):
    task = await make(title=f"{before} {word} {after}")

    found = await api.get("/tasks", params={"q": word, "sort": "-created_at", "limit": 1})

    assert found.json()["items"] == [task]


async def test_pages_of_two_people_never_mix(api, make, client, bob):
    await make(title="Ada's")
    await client.post("/tasks", json={"title": "Bob's"}, headers=bob.headers)

    assert await titles(api) == ["Ada's"]
    lists = await asyncio.gather(*[client.get("/tasks", headers=bob.headers) for _ in range(5)])
    assert {item["title"] for answer in lists for item in answer.json()["items"]} == {"Bob's"}
