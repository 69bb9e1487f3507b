"""What holds for every route: query parameters are known and stand once."""

from __future__ import annotations

import pytest


async def refusals(api, method, path):
    answer = await api.request(method, path)
    assert answer.status_code == 422, answer.text
    assert len(answer.content) <= 4096
    return [(error["pointer"], error["code"]) for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/tasks"), ("POST", "/tasks"), ("GET", "/auth/me"), ("DELETE", "/labels/{}")]
)
async def test_an_unknown_query_parameter_is_refused(api, method, path):
    label = (await api.post("/labels", json={"name": "home"})).json()

    assert await refusals(api, method, path.format(label["id"]) + "?colour=red") == [("?", "unknown_parameter")]
    assert (await api.get(f"/labels/{label['id']}")).status_code == 200


async def test_a_parameter_that_stands_twice_is_refused_where_one_is_meant(api):
    assert await refusals(api, "GET", "/tasks?limit=1&limit=2") == [("?limit", "repeated_parameter")]
    assert await refusals(api, "GET", "/tasks?q=a&q=a&sort=title&sort=title") == [
        ("?q", "repeated_parameter"),
        ("?sort", "repeated_parameter"),
    ]


async def test_a_parameter_that_takes_several_values_may_be_repeated(api):
    await api.post("/tasks", json={"title": "one", "status": "blocked"})
    await api.post("/tasks", json={"title": "two", "status": "in_progress"})
    await api.post("/tasks", json={"title": "three"})

    found = (await api.get("/tasks?status=blocked&status=in_progress&sort=title")).json()["items"]

    assert [task["title"] for task in found] == ["one", "two"]


async def test_a_parameter_in_another_case_is_another_one(api):
    assert await refusals(api, "GET", "/tasks?Limit=1") == [("?", "unknown_parameter")]


async def test_the_names_that_are_known_are_told_and_the_unknown_is_not_repeated(api):
    answer = await api.get("/tasks?%3Cscript%3E=1")

    assert "limit" in answer.json()["errors"][0]["message"]
    assert "script" not in answer.text


async def test_a_thousand_unknown_parameters_get_a_short_answer(api):
    query = "&".join(f"p{number}=1" for number in range(1000))

    assert 0 < len(await refusals(api, "GET", f"/tasks?{query}")) <= 20
