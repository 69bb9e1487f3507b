"""Every route, found in the app: who may use it, and that one person's things do not exist for another."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from app.infra.database import Database
from app.models import Base
from tests.contract.conftest import MakeOwner, Owner
from tests.contract.operations import DOCUMENT, OPERATIONS, PUBLIC, Operation, resolved

WITH_IDS = [one for one in OPERATIONS if one.ids and not one.path.startswith("/admin/")]
CLOSED = [one for one in OPERATIONS if str(one) not in PUBLIC]
LISTS = [one for one in OPERATIONS if one.method == "GET" and str(one) not in PUBLIC]
NOBODYS = str(uuid.UUID(int=7))
WITHOUT_A_FILE = {"GET /jobs/{job_id}/result", "GET /tasks/{task_id}/attachments/{attachment_id}/thumbnails/{size}"}
"""The job was cancelled and the attachment is a text: they exist, and have no file to show."""
OF_DELETED_TASKS = {"POST /tasks/{task_id}/restore", "DELETE /tasks/trash/{task_id}"}


def ids_of(owner: Owner, operation: Operation) -> dict[str, str]:
    deleted = {"task_id": owner.trashed_task_id} if str(operation) in OF_DELETED_TASKS else {}
    return owner.ids | deleted


async def ask(
    client: httpx2.AsyncClient, operation: Operation, ids: dict[str, str], headers: dict[str, str]
) -> httpx2.Response:
    path = operation.path.format(**operation.words | ids)
    if operation.takes("multipart/form-data"):
        return await client.request(operation.method, path, headers=headers, files={"file": ("a.txt", b"one\n")})
    return await client.request(operation.method, path, headers=headers, json=operation.example)


def without_request_id(answer: httpx2.Response) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    del problem["request_id"]
    return problem


async def everything(database: Database) -> dict[str, Any]:
    """A fingerprint of each table."""
    digest = "SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {} t"
    async with database.session() as session:
        return {name: await session.scalar(text(digest.format(name))) for name in Base.metadata.tables}


def test_the_document_tells_what_a_client_has_to_know(subtests: pytest.Subtests) -> None:
    for operation in OPERATIONS:
        with subtests.test(str(operation)):
            told = operation.description
            assert told["summary"]
            assert (
                Counter(one["operationId"] for item in DOCUMENT["paths"].values() for one in item.values())[
                    told["operationId"]
                ]
                == 1
            )
            assert bool(told["security"]) == (str(operation) not in PUBLIC)
            assert {"422", "default"} <= set(told["responses"])
            assert not told["security"] or {"401", "403"} <= set(told["responses"])
            assert not operation.ids or "404" in told["responses"]
            assert "requestBody" not in told or {"400", "413", "415"} <= set(told["responses"])
            answers = [resolved_response(one) for one in told["responses"].values()]
            for content in [*told.get("requestBody", {}).get("content", {}).values(), *answers]:
                assert "example" in content or "examples" in content


def resolved_response(response: dict[str, Any]) -> dict[str, Any]:
    """The content of an answer; one without a body needs no example."""
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return next(iter(response.get("content", {}).values()), {"example": None})


async def test_without_a_token_nothing_is_served(subtests: pytest.Subtests, client: httpx2.AsyncClient) -> None:
    for operation in CLOSED:
        with subtests.test(str(operation)):
            ids = dict.fromkeys(operation.ids, NOBODYS)
            strangers: list[dict[str, str]] = [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic YTpi"}]
            answers = [await ask(client, operation, ids, headers) for headers in strangers]
            assert [one.status_code for one in answers] == [401, 401, 401]
            assert all(one.headers["WWW-Authenticate"].startswith("Bearer") for one in answers)
            bodies = [without_request_id(one) for one in answers]
            assert bodies[0] == bodies[1] == bodies[2]


async def test_with_the_token_of_a_session_that_ended_nothing_is_served(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, make_owner: MakeOwner
) -> None:
    ada = await make_owner("ada@example.com")
    await client.post("/auth/logout-all", headers=ada.headers)
    for operation in CLOSED:
        with subtests.test(str(operation)):
            answer = await ask(client, operation, ids_of(ada, operation), ada.headers)
            assert answer.status_code == 401
            assert ada.mark not in answer.text


async def test_what_is_another_persons_does_not_exist(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, make_owner: MakeOwner, database: Database
) -> None:
    ada, bob = await make_owner("ada@example.com"), await make_owner("bob@example.com")
    for operation in WITH_IDS:
        with subtests.test(str(operation)):
            missing = await ask(client, operation, dict.fromkeys(operation.ids, NOBODYS), bob.headers)
            assert missing.status_code == 404
            before = await everything(database)
            for owners in itertools.product([ada, bob], repeat=len(operation.ids)):
                if all(owner is bob for owner in owners):
                    continue
                ids = {name: ids_of(owner, operation)[name] for name, owner in zip(operation.ids, owners, strict=True)}
                answer = await ask(client, operation, ids, bob.headers)
                assert answer.status_code == 404
                assert without_request_id(answer) == without_request_id(missing)
            assert await everything(database) == before
            # And it was not the request's fault.
            carol = await make_owner(f"{operation.description['operationId']}@example.com")
            own = await ask(client, operation, ids_of(carol, operation), carol.headers)
            refusals = {401, 403, 404, 422} - ({404} if str(operation) in WITHOUT_A_FILE else set())
            assert own.status_code not in refusals


async def test_nothing_that_is_read_shows_another_persons_things(
    subtests: pytest.Subtests, client: httpx2.AsyncClient, make_owner: MakeOwner
) -> None:
    ada, bob = await make_owner("ada@example.com"), await make_owner("bob@example.com")
    for operation in LISTS:
        with subtests.test(str(operation)):
            mine = await ask(client, operation, ids_of(bob, operation), bob.headers)
            assert mine.status_code in {200, 403} | ({404} if str(operation) in WITHOUT_A_FILE else set())
            secrets = [ada.mark, ada.account.email, str(ada.account.user_id), str(ada.account.workspace_id)]
            for secret in [*secrets, *ada.ids.values(), ada.trashed_task_id]:
                assert secret not in mine.text


def test_every_route_is_in_the_document() -> None:
    documented = {f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item}
    assert {str(one) for one in OPERATIONS} == documented
    assert documented >= PUBLIC


def test_every_id_in_a_path_is_one_that_both_own() -> None:
    names = {name for one in OPERATIONS for name in one.ids}
    assert names <= {
        "project_id",
        "section_id",
        "label_id",
        "task_id",
        "comment_id",
        "job_id",
        "schedule_id",
        "session_id",
        "attachment_id",
        "workspace_id",
    }
    assert resolved({"$ref": "#/components/schemas/Problem"})["required"]
