from __future__ import annotations

from typing import Annotated, Any, Literal

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Form, Query
from pydantic import Field
from sqlalchemy import text as sql
from starlette.exceptions import HTTPException

from app.kit.errors import Unavailable
from app.kit.schema import Email, Id, Instant, StrictModel, Text
from app.web.routing import Route
from app.web.session import SessionDep, WorkDep


class Inner(StrictModel):
    name: Annotated[str, Text(10)]


class Cat(StrictModel):
    kind: Literal["cat"]


class Dog(StrictModel):
    kind: Literal["dog"]
    inner: Inner


class Thing(StrictModel):
    title: Annotated[str, Text(20, min_length=1)]
    count: int = Field(0, le=10)
    due_at: Instant | None = None
    owner: Id | None = None
    email: Email | None = None
    inner: list[Inner] | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    either: Inner | int | None = None


@pytest.fixture
def routes(app: FastAPI) -> None:
    router = APIRouter(route_class=Route)

    @router.post("/things")
    async def make(thing: Thing) -> dict[str, Any]:
        return {"title": thing.title}

    @router.patch("/things")
    async def change(thing: Thing) -> dict[str, Any]:
        return {"title": thing.title}

    @router.get("/things")
    async def find(limit: Annotated[int, Query(le=100)] = 1) -> int:
        return limit

    @router.post("/forms")
    async def fill(name: Annotated[str, Form()]) -> str:
        return name

    @router.get("/statement")
    async def run(session: SessionDep, statement: str) -> None:
        await session.execute(sql(statement))

    @router.get("/fetch")
    async def fetch(work: WorkDep) -> None:
        raise Unavailable(retry_after=7)

    @router.get("/raise/{kind}")
    async def fail(kind: str) -> None:
        raise {
            "unicode": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
            "overflow": OverflowError("hunter2"),
            "recursion": RecursionError("hunter2"),
            "lost": ConnectionResetError("hunter2"),
            "teapot": HTTPException(418, "hunter2"),
            "unwritable": BaseExceptionGroup("hunter2 \ud800", [ValueError()]),
        }[kind]

    app.include_router(router)


pytestmark = pytest.mark.usefixtures("routes")


async def refused(client: httpx2.AsyncClient, body: Any, **options: Any) -> dict[str, Any]:
    answer = await client.post("/things", json=body, **options)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) <= 4096
    return answer.json()


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/title", "missing"),
        ([], "", "model_attributes_type"),
        ({"title": 1}, "/title", "string_type"),
        ({"title": "x" * 21}, "/title", "string_too_long"),
        ({"title": "a\x00"}, "/title", "nul_character"),
        ({"title": "x", "count": True}, "/count", "int_type"),
        ({"title": "x", "count": "3"}, "/count", "int_type"),
        ({"title": "x", "count": 11}, "/count", "less_than_equal"),
        ({"title": "x", "surprise": 1}, "/surprise", "extra_forbidden"),
        ({"title": "x", "a/b~c": 1}, "/a~1b~0c", "extra_forbidden"),
        ({"title": "x", "due_at": "2026-01-01T00:00:00"}, "/due_at", "timezone_aware"),
        ({"title": "x", "inner": [{"name": "a"}, {}]}, "/inner/1/name", "missing"),
        ({"title": "x", "pet": {"kind": "dog", "inner": {"name": 1}}}, "/pet/inner/name", "string_type"),
        ({"title": "x", "pet": {"kind": "hunter2"}}, "/pet", "union_tag_invalid"),
        ({"title": "x", "either": {"name": 5}}, "/either/name", "string_type"),
    ],
)
async def test_a_wrong_body_is_422_with_a_pointer_to_the_part(
    client: httpx2.AsyncClient, body: Any, pointer: str, code: str
) -> None:
    problem = await refused(client, body)
    assert problem["code"] == "validation_error"
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in problem["errors"]]


async def test_a_lone_surrogate_is_422_in_a_known_and_in_an_unknown_field(client: httpx2.AsyncClient) -> None:
    for body in (rb'{"title": "\ud800"}', rb'{"title": "x", "\ud800": 1}', rb'{"title": "x", "y": "\ud800"}'):
        answer = await client.post("/things", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, body
        answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"title": "hunter2hunter2hunter2hunter2"},
        {"title": {"hunter2": "hunter2"}},
        {"title": "x", "count": "hunter2"},
        {"title": "x", "owner": "hunter2"},
        {"title": "x", "due_at": "hunter2"},
        {"title": "x", "email": "hunter2"},
        {"title": "x", "email": "hunter2@hunter2 hunter2"},
        {"title": "x", "email": "a@hunter2"},
        {"title": "x", "pet": {"kind": "hunter2"}},
        {"title": "x", "pet": "hunter2"},
        {"title": "x", "surprise": "hunter2"},
    ],
)
async def test_what_was_sent_is_never_repeated(client: httpx2.AsyncClient, body: Any) -> None:
    problem = await refused(client, body)
    assert "hunter2" not in str(problem)
    assert all(error["message"] for error in problem["errors"])


async def test_many_errors_with_long_names_stay_within_four_kilobytes(client: httpx2.AsyncClient) -> None:
    problem = await refused(client, {"title": "x", **{f"{number}{'ä' * 500}": 1 for number in range(200)}})
    assert 1 <= len(problem["errors"]) <= 20
    assert problem["detail"] == "200 parts of the input must change"


async def test_a_wrong_query_parameter_is_named(client: httpx2.AsyncClient) -> None:
    problem = (await client.get("/things?limit=1000")).json()
    assert [(error["pointer"], error["code"]) for error in problem["errors"]] == [("?limit", "less_than_equal")]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b'{"title": "x"}', "application/json; charset=utf-8", 200, None),
        (b'{"title": "x"}', "application/json; charset=UTF-8", 200, None),
        (b'{"title": "x"}', "application/json; charset=bogus", 415, "unsupported_media_type"),
        (b'{"title": "x"}', "application/json; charset=utf-16", 415, "unsupported_media_type"),
        (b'{"title": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"title": "x"}', None, 415, "unsupported_media_type"),
        (b"title=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        ('{"title": "x"}'.encode("utf-16"), "application/json", 400, "invalid_json"),
        (b'\xef\xbb\xbf{"title": "x"}', "application/json", 400, "invalid_json"),
        (b'{"title": "\xff"}', "application/json", 400, "invalid_json"),
        (b'{"title": "x"', "application/json", 400, "invalid_json"),
        (b'{"title": NaN}', "application/json", 400, "invalid_json"),
        (b'{"title": "x", "title": "y"}', "application/json", 400, "duplicate_key"),
        (b"[" * 50_000, "application/json", 400, "json_too_complex"),
        (b"[" * 900 + b"]" * 900, "application/json", 400, "json_too_complex"),
        (b"", "application/json", 422, "validation_error"),
    ],
)
async def test_a_body_that_is_no_json_is_told_apart_from_a_wrong_one(
    client: httpx2.AsyncClient, content: bytes, content_type: str | None, status: int, code: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await client.post("/things", content=content, headers=headers)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


async def test_a_patch_may_name_its_own_media_type(client: httpx2.AsyncClient) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    assert (await client.patch("/things", content=b'{"title": "x"}', headers=merge)).status_code == 200
    wrong = await client.patch("/things", content=b'{"title": "x"}', headers={"Content-Type": "text/plain"})
    assert wrong.json()["detail"] == "Send the body as application/merge-patch+json"


async def test_a_form_sent_as_json_is_415(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/forms", json={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert (await client.post("/forms", data={"other": "x"})).json()["errors"][0]["pointer"] == "/name"


async def test_405_names_all_methods_of_the_path(client: httpx2.AsyncClient) -> None:
    for method in ("DELETE", "OPTIONS", "TRACE", "QUERY"):
        answer = await client.request(method, "/things")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PATCH, POST")
        assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        ("SELECT pg_sleep(60)", 503, "unavailable"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", 503, "unavailable"),
        ("DO $$ BEGIN RAISE read_only_sql_transaction; END $$", 503, "unavailable"),
        ("DO $$ BEGIN RAISE disk_full; END $$", 503, "unavailable"),
        ("SELECT CAST('9223372036854775808' AS bigint)", 422, "validation_error"),
        ("SELECT chr(0)", 422, "validation_error"),
        ("INSERT INTO sessions (user_id) VALUES (NULL)", 409, "conflict"),
        ("SELECT hunter2", 500, "internal_error"),
    ],
)
async def test_what_the_database_says_becomes_a_problem(
    client: httpx2.AsyncClient, statement: str, status: int, code: str
) -> None:
    answer = await client.get("/statement", params={"statement": statement})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "hunter2" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_an_expected_error_keeps_its_headers(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/fetch")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")


@pytest.mark.parametrize(
    ("kind", "status"), [("unicode", 422), ("overflow", 422), ("recursion", 400), ("lost", 503), ("teapot", 500)]
)
async def test_what_the_input_can_provoke_is_not_a_fault_of_ours(
    client: httpx2.AsyncClient, kind: str, status: int
) -> None:
    answer = await client.get(f"/raise/{kind}")
    assert answer.status_code == status
    assert "hunter2" not in answer.text
    assert set(answer.json()) == {"type", "title", "status", "detail", "code", "request_id"}
