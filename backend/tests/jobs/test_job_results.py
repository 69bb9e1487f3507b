from __future__ import annotations

from uuid import uuid4

import pytest

from app.files.service import keep

NAME = 'Quartal "3"\r\nÜbersicht.pdf'


@pytest.fixture
def store(app):
    """Keeps a file, as a handler does; returns the job's result."""

    async def store(account, content: bytes, media_type: str = "application/pdf") -> str:
        async def chunks():
            yield content

        about = {"workspace_id": account.workspace_id, "user_id": account.user_id}
        async with app.state.database.transaction() as session:
            file = await keep(session, app.state.storage, chunks(), **about, name=NAME, media_type=media_type)
        return f'\'{{"file_id": "{file.id}"}}\''

    return store


async def test_the_result_is_the_file_that_the_job_made(client, sign_up, add, put, store) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    content = bytes(range(256)) * 20_000
    await put(job_id, f"state = 'completed', finished_at = now(), result = {await store(ann, content)}")
    assert (await client.get(f"/jobs/{job_id}", headers=ann.headers)).json()["links"][
        "result"
    ] == f"/jobs/{job_id}/result"
    answer = await client.get(f"/jobs/{job_id}/result", headers=ann.headers)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-disposition"] == (
        'attachment; filename="Quartal _3____bersicht.pdf"; '
        "filename*=UTF-8''Quartal%20%223%22%0D%0A%C3%9Cbersicht.pdf"
    )  # fmt: skip
    assert "sandbox" in answer.headers["content-security-policy"]
    head = await client.head(f"/jobs/{job_id}/result", headers=ann.headers)
    assert (head.headers["content-length"], head.content) == (str(len(content)), b"")


async def test_a_result_that_is_no_file_comes_as_json(client, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    await put(job_id, "state = 'discarded', finished_at = now(), result = '{\"tasks\": 0}'")
    answer = await client.get(f"/jobs/{job_id}/result", headers=ann.headers)
    assert (answer.status_code, answer.json()) == (200, {"tasks": 0})


async def test_a_job_that_goes_on_or_left_nothing_has_no_result(client, sign_up, add, put) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    answer = await client.get(f"/jobs/{job_id}/result", headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_ended")
    await put(job_id, "state = 'completed', finished_at = now()")
    answer = await client.get(f"/jobs/{job_id}/result", headers=ann.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "job_without_result")


async def test_a_file_that_is_gone_or_in_a_workspace_that_one_left_is_not_found(
    client, sign_up, add, put, store
) -> None:
    ann, bob = await sign_up(), await sign_up()
    job_id = await add(ann)
    for result in (await store(bob, b"bob's"), f'\'{{"file_id": "{uuid4()}"}}\''):
        await put(job_id, f"state = 'completed', finished_at = now(), result = {result}")
        answer = await client.get(f"/jobs/{job_id}/result", headers=ann.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_without_result")


async def test_a_file_whose_bytes_are_gone_is_not_found(client, sign_up, add, put, store, app) -> None:
    ann = await sign_up()
    job_id = await add(ann)
    await put(job_id, f"state = 'completed', finished_at = now(), result = {await store(ann, b'x')}")
    rows = await app.state.database.fetch(_keys(), {})
    await app.state.storage.delete(rows[0]["storage_key"])
    assert (await client.get(f"/jobs/{job_id}/result", headers=ann.headers)).status_code == 404


async def test_a_foreign_job_has_neither_result_nor_events(client, sign_up, add) -> None:
    ann, bob = await sign_up(), await sign_up()
    job_id = await add(bob)
    for part in ("result", "events"):
        assert (await client.get(f"/jobs/{job_id}/{part}", headers=ann.headers)).status_code == 404


def _keys():
    from sqlalchemy import text

    from app.infra.statements import Statement

    return Statement(text("SELECT storage_key FROM stored_files"))
