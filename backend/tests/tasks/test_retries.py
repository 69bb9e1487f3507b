"""No retry makes a duplicate."""

from __future__ import annotations

import asyncio

import pytest


async def test_a_repeated_post_with_one_key_makes_one_task_and_replays_the_answer(api):
    headers = {"Idempotency-Key": "order-66"}

    first, second = [await api.post("/tasks", json={"title": "once"}, headers=headers) for _ in range(2)]

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert (second.headers["etag"], second.headers["location"]) == (first.headers["etag"], first.headers["location"])
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len((await api.get("/tasks")).json()["items"]) == 1


async def test_twins_sent_at_once_make_one_task(api):
    headers = {"Idempotency-Key": "twins"}

    answers = await asyncio.gather(*[api.post("/tasks", json={"title": "once"}, headers=headers) for _ in range(8)])

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert 201 in {answer.status_code for answer in answers}
    assert len((await api.get("/tasks")).json()["items"]) == 1


async def test_another_body_under_one_key_is_refused(api):
    headers = {"Idempotency-Key": "k1"}
    await api.post("/tasks", json={"title": "one"}, headers=headers)

    other = await api.post("/tasks", json={"title": "two"}, headers=headers)

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_key_is_its_senders_own(api, client, bob):
    headers = {"Idempotency-Key": "shared"}
    await api.post("/tasks", json={"title": "t"}, headers=headers)

    answer = await client.post("/tasks", json={"title": "t"}, headers={**bob.headers, **headers})

    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


async def test_a_refused_request_is_not_stored_under_its_key(api):
    headers = {"Idempotency-Key": "k2"}

    refused = await api.post("/tasks", json={"title": ""}, headers=headers)
    mended = await api.post("/tasks", json={"title": "t"}, headers=headers)

    assert (refused.status_code, mended.status_code) == (422, 201)


@pytest.mark.parametrize("key", ["", "x" * 256, "with space"])
async def test_a_key_that_is_none_is_malformed(api, key):
    answer = await api.post("/tasks", json={"title": "t"}, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")


async def test_a_repeated_patch_with_one_key_changes_once(api, make):
    path = f"/tasks/{(await make())['id']}"
    headers = {"Idempotency-Key": "p1", "If-Match": '"1"'}

    first, second = [await api.patch(path, json={"title": "x"}, headers=headers) for _ in range(2)]

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert (await api.get(path)).json()["version"] == 2
