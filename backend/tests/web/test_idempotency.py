"""`Idempotency-Key`: the first request takes effect, its repeats get its answer."""

from __future__ import annotations

import asyncio
import io
from typing import Annotated

import pytest
from fastapi import APIRouter, Form
from sqlalchemy import func, select, text

from app.identity.dependencies import CurrentCaller
from app.models import IdempotencyKey, Job, Label
from app.web.routing import Route, never_replayed
from app.web.session import SessionDep
from tests.locks import until_one_waits_for_a_lock

KEY = {"Idempotency-Key": "the-key"}


def is_replayed(answer):
    return answer.headers.get("idempotency-replayed") == "true"


async def count(app, model):
    async with app.state.database.session() as session:
        return await session.scalar(select(func.count()).select_from(model))


async def test_a_repeat_gets_the_first_answer_with_its_headers(app, api):
    first = await api.post("/labels", json={"name": "home"}, headers=KEY)
    again = await api.post("/labels", json={"name": "home"}, headers=KEY)

    assert not is_replayed(first)
    assert is_replayed(again)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("content-type", "etag", "location"):
        assert again.headers[name] == first.headers[name]
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert await count(app, Label) == 1


async def test_a_repeat_gets_the_first_answer_although_the_resource_has_changed_since(api):
    label = (await api.post("/labels", json={"name": "home"})).json()
    path = f"/labels/{label['id']}"

    first = await api.patch(path, json={"name": "house"}, headers={**KEY, "If-Match": '"1"'})
    await api.patch(path, json={"name": "hut"})
    again = await api.patch(path, json={"name": "house"}, headers={**KEY, "If-Match": '"1"'})

    assert (first.status_code, again.status_code) == (200, 200)
    assert is_replayed(again)
    assert again.json() == first.json()
    assert (await api.get(path)).json()["name"] == "hut"


async def test_after_a_day_the_key_is_free_though_nobody_has_cleaned_up(app, api):
    for name in ("home", "work", "work"):
        answer = await api.post("/labels", json={"name": name}, headers=KEY)
        assert answer.status_code == 201
        if name == "home":
            async with app.state.database.transaction() as session:
                await session.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'"))
    assert is_replayed(answer)
    assert (await count(app, Label), await count(app, IdempotencyKey)) == (2, 1)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/labels", {"name": "other"}),
        ("POST", "/labels", {"name": "home", "color": None}),
        ("POST", "/projects", {"name": "home"}),
        ("PATCH", "/labels/{}", {"name": "home"}),
    ],
)
async def test_another_request_under_the_key_is_refused(app, api, method, path, body):
    label = (await api.post("/labels", json={"name": "home"}, headers=KEY)).json()

    answer = await api.request(method, path.format(label["id"]), json=body, headers=KEY)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert (await api.get(f"/labels/{label['id']}")).json() == label
    assert await count(app, Label) == 1


async def test_while_the_first_still_runs_its_repeat_is_told_so_at_once(app, api):
    label = (await api.post("/labels", json={"name": "home"})).json()
    path = f"/labels/{label['id']}"
    async with app.state.database.session() as other:
        await other.execute(select(Label).with_for_update())
        first = asyncio.create_task(api.patch(path, json={"name": "house"}, headers=KEY))
        await until_one_waits_for_a_lock(app.state.database)
        twin = await api.patch(path, json={"name": "house"}, headers=KEY)
        await other.rollback()
    done = await first
    late = await api.patch(path, json={"name": "house"}, headers=KEY)

    assert (twin.status_code, twin.json()["code"]) == (409, "request_in_progress")
    assert (done.status_code, is_replayed(done)) == (200, False)
    assert (late.json(), is_replayed(late)) == (done.json(), True)


async def test_twins_sent_at_once_take_effect_once(app, api):
    answers = await asyncio.gather(*(api.post("/labels", json={"name": "home"}, headers=KEY) for _ in range(8)))

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert sum(answer.status_code == 201 and not is_replayed(answer) for answer in answers) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"request_in_progress"}
    assert await count(app, Label) == 1


async def test_a_refused_request_leaves_its_key_free(app, api):
    await api.post("/labels", json={"name": "home"})
    refused = [
        await api.post("/labels", json={"name": ""}, headers=KEY),
        await api.post("/labels", json={"name": "HOME"}, headers=KEY),
        await api.post("/labels", content=b"{", headers={**KEY, "Content-Type": "application/json"}),
    ]

    answer = await api.post("/labels", json={"name": "work"}, headers=KEY)

    assert [one.status_code for one in refused] == [422, 409, 400]
    assert (answer.status_code, is_replayed(answer)) == (201, False)


async def test_the_key_of_somebody_else_is_another_one(client, ada, bob):
    mine = await client.post("/labels", json={"name": "home"}, headers={**ada.headers, **KEY})
    theirs = await client.post("/labels", json={"name": "work"}, headers={**bob.headers, **KEY})

    assert (theirs.status_code, is_replayed(theirs)) == (201, False)
    assert mine.json()["workspace_id"] != theirs.json()["workspace_id"]


async def test_without_a_valid_token_a_stored_answer_is_not_shown(client, ada):
    await client.post("/labels", json={"name": "home"}, headers={**ada.headers, **KEY})

    answer = await client.post("/labels", json={"name": "home"}, headers=KEY)

    assert answer.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("Idempotency-Key", "")],
        [("Idempotency-Key", "two words")],
        [("Idempotency-Key", "x" * 256)],
        [("Idempotency-Key", "schlüssel")],
        [("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
    ],
)
async def test_what_is_no_key_is_malformed(app, api, headers):
    encoded = [(name.encode(), value.encode()) for name, value in headers]

    answer = await api.post("/labels", json={"name": "home"}, headers=[*api.headers.raw, *encoded])

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert await count(app, Label) == 0


async def test_reading_and_deleting_take_no_notice_of_a_key(app, api):
    label = (await api.post("/labels", json={"name": "home"})).json()

    answers = [await api.get(f"/labels/{label['id']}", headers=KEY) for _ in range(2)]
    answers += [await api.delete(f"/labels/{label['id']}", headers=KEY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200, 204, 404]
    assert await count(app, IdempotencyKey) == 0


async def test_signing_in_takes_no_notice_of_a_key_and_stores_nothing(app, client, ada):
    form = {"username": ada.email, "password": ada.password}

    first, second = [await client.post("/auth/login", data=form, headers=KEY) for _ in range(2)]

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["refresh_token"] != second.json()["refresh_token"]
    assert await count(app, IdempotencyKey) == 0


async def test_an_answer_that_shows_a_secret_is_never_stored(app, api):
    router = APIRouter(route_class=Route)

    @router.post("/secret")
    @never_replayed
    async def secret(caller: CurrentCaller, session: SessionDep) -> str:
        return "secret"

    app.include_router(router)

    assert not any([is_replayed(await api.post("/secret", headers=KEY)) for _ in range(2)])
    assert await count(app, IdempotencyKey) == 0


# --- forms -----------------------------------------------------------------------------------------------------------


async def upload(api, content=b"(A) Buy milk", name="list.txt", **fields):
    file = {"file": (name, io.BytesIO(content), "text/plain")}
    return await api.post("/tasks/import", files=file, data={"format": "todotxt", **fields}, headers=KEY)


async def test_a_repeated_upload_is_one_although_its_boundary_is_another(app, api):
    first, again = await upload(api), await upload(api)

    assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert first.status_code == 202
    assert (is_replayed(first), is_replayed(again)) == (False, True)
    assert again.json() == first.json()
    assert await count(app, Job) == 1


async def test_another_upload_under_the_key_is_refused(app, api):
    await upload(api)

    answers = [
        await upload(api, content=b"(A) Buy bread"),
        await upload(api, name="other.txt"),
        await upload(api, dry_run="true"),
    ]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(422, "idempotency_key_reused")] * 3
    assert await count(app, Job) == 1


@pytest.fixture
def form_route(app):
    """Takes a form of two texts."""
    router = APIRouter(route_class=Route)

    @router.post("/form")
    async def form(
        caller: CurrentCaller, session: SessionDep, a: Annotated[str, Form()], b: Annotated[str, Form()] = ""
    ) -> str:
        return a

    app.include_router(router)
    return "/form"


def form(*parts, boundary="b"):
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary.encode(), name, value)
        for name, value in parts
    )
    return body + b"--%b--\r\n" % boundary.encode()


async def send(api, path, *parts, boundary="b", media_type="multipart/form-data"):
    headers = {**KEY, "Content-Type": f"{media_type}; boundary={boundary}"}
    return await api.post(path, content=form(*parts, boundary=boundary), headers=headers)


async def test_a_text_that_looks_like_another_part_is_not_that_part(api, form_route):
    first = await send(api, form_route, (b"a", b"1\nb=2"))
    second = await send(api, form_route, (b"a", b"1"), (b"b", b"2"))

    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (422, "idempotency_key_reused")


async def test_the_order_of_a_forms_fields_does_not_count(api, form_route):
    first = await send(api, form_route, (b"a", b"1"), (b"b", b"2"))
    again = await send(api, form_route, (b"b", b"2"), (b"a", b"1"), boundary="c", media_type="Multipart/Form-Data")

    assert (first.status_code, again.status_code) == (200, 200)
    assert is_replayed(again)


async def test_a_broken_form_is_malformed(app, api, form_route):
    answer = await api.post(
        form_route, content=b"--b\r\nnonsense", headers={**KEY, "Content-Type": "multipart/form-data; boundary=b"}
    )

    assert answer.status_code in {400, 422}
    assert await count(app, IdempotencyKey) == 0
