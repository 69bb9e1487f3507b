"""Files on a task, over HTTP."""

from __future__ import annotations

import hashlib
from urllib.parse import unquote
from uuid import uuid4

import pytest
from sqlalchemy import text

TEXT = b"Saucepans: three.\n"


@pytest.fixture
async def path(make):
    return f"/tasks/{(await make())['id']}/attachments"


@pytest.fixture
def attach(api, path):
    async def attach(content: bytes = TEXT, name: str = "list.txt", **more):
        return await api.post(path, files={"file": (name, content, "text/html")}, **more)

    return attach


async def test_a_file_comes_back_as_it_was_sent(api, attach, path, ada):
    created = await attach()
    place = created.headers["location"]
    read = await api.get(place)
    content = await api.get(place + "/content")

    assert (created.status_code, place) == (201, f"{path}/{created.json()['id']}")
    shown = created.json()
    assert {name: shown[name] for name in ("name", "size", "sha256", "created_by", "media_type", "thumbnails")} == {
        "name": "list.txt",
        "size": len(TEXT),
        "sha256": hashlib.sha256(TEXT).hexdigest(),
        "created_by": str(ada.user_id),
        "media_type": "application/octet-stream",
        "thumbnails": {"state": "none", "sizes": [], "error_code": None, "job_id": None},
    }
    assert read.json() == shown
    assert content.content == TEXT


async def test_a_large_file_is_stored_and_sent_in_pieces(api, attach):
    large = bytes(range(256)) * 12_000  # more than one chunk on either way
    place = (await attach(large)).headers["location"]

    assert (await api.get(place + "/content")).content == large


async def test_nothing_is_sent_as_something_that_a_browser_would_run(api, attach):
    for name, content in (
        ("page.html", b"<script>alert(1)</script>"),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("both.png", b"\x89PNG\r\n\x1a\n<script>alert(1)</script>"),
    ):
        answer = await api.get((await attach(content, name)).headers["location"] + "/content")

        assert answer.headers["content-type"] in {"application/octet-stream", "image/png"}
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "no-store" not in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\n\x00\x00WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        (b"RIFF\x00\x00\x00\x00WAVE", "application/octet-stream"),
        (b"x\x89PNG\r\n\x1a\n", "application/octet-stream"),
    ],
)
async def test_the_type_is_what_the_first_bytes_say(attach, head, media_type):
    assert (await attach(head + b"\x00" * 8, "x.txt")).json()["media_type"] == media_type


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\list.txt", "list.txt"),
        ("résumé – 50% ✓.txt", "résumé – 50% ✓.txt"),
    ],
)
async def test_a_name_is_data_and_comes_back_in_both_forms_of_the_header(api, attach, sent, kept):
    created = await attach(name=sent)
    header = (await api.get(created.headers["location"] + "/content")).headers["content-disposition"]

    plain, _, encoded = header.partition("; filename*=UTF-8''")
    assert created.json()["name"] == unquote(encoded) == kept
    assert plain.startswith('attachment; filename="')
    assert plain.isascii()
    assert plain.count('"') == 2


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", 'a"; filename="b.html', "a\\"])
async def test_a_name_cannot_leave_its_place_in_the_header(api, attach, app, name):
    place = (await attach()).headers["location"]
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE stored_files SET name = :name"), {"name": name})
    answer = await api.get(place + "/content")

    plain, _, encoded = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    assert "set-cookie" not in answer.headers
    assert unquote(encoded) == name
    assert plain.count('"') == 2
    assert not set(plain) & set("\r\n\\")


@pytest.mark.parametrize("name", ["   ", "x" * 256, "folder/", "a\x00b"])
async def test_a_name_that_is_none_is_refused(api, path, name):
    # By hand: a client library would write the NUL in another way.
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + TEXT + b"\r\n--b--\r\n"
    answer = await api.post(path, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/file")


async def test_an_empty_file_is_refused(attach):
    answer = await attach(b"")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "empty_file")


@pytest.mark.parametrize("parts", [{"other": ("a", b"x")}, {"file": ("a", b"x"), "other": ("b", b"x")}])
async def test_a_form_without_the_file_or_with_more_is_refused(api, path, parts):
    assert (await api.post(path, files=parts)).status_code == 422


async def test_what_is_no_form_is_refused(api, path):
    assert (await api.post(path, json={"file": "x"})).status_code in {415, 422}


async def test_a_file_over_the_limit_is_refused_and_nothing_is_kept(api, attach, path, settings):
    settings.attachment_max_bytes = 2_000_000
    over = await attach(b"x" * 2_000_001)
    most = await attach(b"x" * 2_000_000)

    assert (over.status_code, over.json()["code"]) == (413, "payload_too_large")
    assert most.status_code == 201
    assert len((await api.get(path)).json()["items"]) == 1


async def test_a_body_over_the_limit_is_cut_off_while_it_arrives(attach, settings):
    answer = await attach(b"x" * (settings.attachment_max_bytes + 100_000))

    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_task_has_so_many_attachments_at_most(attach, settings):
    settings.attachments_per_task = 2
    answers = [await attach() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[2].json()["code"] == "too_many_attachments"


async def test_attachments_are_listed_the_oldest_first_in_pages(api, attach, path):
    for number in range(3):
        await attach(name=f"{number}.txt")

    first = (await api.get(path, params={"limit": 2, "count": "true"})).json()
    second = (await api.get(path, params={"limit": 2, "count": "true", "cursor": first["next_cursor"]})).json()

    assert [one["name"] for one in first["items"] + second["items"]] == ["0.txt", "1.txt", "2.txt"]
    assert (first["total_count"], second["next_cursor"]) == (3, None)


async def test_a_foreign_or_deleted_task_takes_and_shows_no_attachments(api, attach, path, client, bob, make):
    place = (await attach()).headers["location"]
    own = {"Authorization": api.headers["Authorization"]}
    other = f"/tasks/{(await make())['id']}/attachments/{place.rsplit('/', 1)[1]}"
    answers = [await client.get(other, headers=own), await client.get(other + "/content", headers=own)]
    answers += [
        await client.get(path, headers=bob.headers),
        await client.post(path, files={"file": ("a", b"x")}, headers=bob.headers),
        await client.get(place, headers=bob.headers),
        await client.get(place + "/content", headers=bob.headers),
        await client.get(place + "/thumbnails/small", headers=bob.headers),
        await client.delete(place, headers=bob.headers),
        await client.get(f"{path}/{uuid4()}", headers=own),
    ]
    task = path.removesuffix("/attachments")
    await api.delete(task)
    answers += [
        await api.get(path),
        await attach(),
        await api.get(place),
        await api.get(place + "/content"),
        await api.delete(place),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)

    await api.post(f"{task}/restore")
    assert (await api.get(place + "/content")).content == TEXT


async def test_a_viewer_reads_and_does_not_write(api, attach, path, client, bob, ada, app):
    place = (await attach()).headers["location"]
    async with app.state.database.transaction() as session:
        row = {"workspace": ada.workspace_id, "user": bob.user_id}
        await session.execute(
            text("INSERT INTO workspace_members (workspace_id, user_id, role) VALUES (:workspace, :user, 'viewer')"),
            row,
        )
    bob_again = (await client.post("/auth/login", data={"username": bob.email, "password": bob.password})).json()
    viewer = {"Authorization": f"Bearer {bob_again['access_token']}"}

    assert (await client.get(place + "/content", headers=viewer)).content == TEXT
    refused = [
        await client.post(path, files={"file": ("a", b"x")}, headers=viewer),
        await client.delete(place, headers=viewer),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(403, "role_too_low")] * 2


async def test_the_history_says_what_was_attached_and_deleted(api, attach, path):
    place = (await attach()).headers["location"]
    assert (await api.delete(place)).status_code == 204

    assert (await api.get(place)).status_code == 404
    history = (await api.get(path.removesuffix("attachments") + "history")).json()["items"]
    facts = {"name": "list.txt", "media_type": "application/octet-stream", "size": len(TEXT)}
    assert [(one["resource"], one["action"], one["before"], one["after"]) for one in history[:2]] == [
        ("attachment", "deleted", facts, None),
        ("attachment", "created", None, facts),
    ]


async def test_the_same_request_twice_attaches_once(api, attach, path):
    first = await attach(headers={"Idempotency-Key": "attach-1"})
    again = await attach(headers={"Idempotency-Key": "attach-1"})
    other = await attach(b"other", headers={"Idempotency-Key": "attach-1"})

    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await api.get(path)).json()["items"]) == 1


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=0-3", 206, "bytes 0-3/18", TEXT[:4]),
        ("bytes=11-", 206, "bytes 11-17/18", TEXT[11:]),
        ("bytes=-6", 206, "bytes 12-17/18", TEXT[-6:]),
        ("bytes=10-999", 206, "bytes 10-17/18", TEXT[10:]),
        ("bytes=-999", 200, None, TEXT),
        ("bytes=5-2", 200, None, TEXT),
        ("bytes=0-1,4-5", 200, None, TEXT),
        ("lines=0-1", 200, None, TEXT),
        ("bytes=18-", 416, "bytes */18", None),
        ("bytes=-0", 416, "bytes */18", None),
    ],
)
async def test_a_range_is_served(api, attach, asked, status, content_range, body):
    place = (await attach()).headers["location"] + "/content"
    answer = await api.get(place, headers={"Range": asked})

    assert (answer.status_code, answer.headers.get("content-range")) == (status, content_range)
    if body is not None:
        assert (answer.content, answer.headers["content-length"]) == (body, str(len(body)))


async def test_a_range_counts_while_the_file_is_the_one_that_was_meant(api, attach):
    place = (await attach()).headers["location"] + "/content"
    tag = (await api.get(place)).headers["etag"]

    part = await api.get(place, headers={"Range": "bytes=0-3", "If-Range": tag})
    whole = await api.get(place, headers={"Range": "bytes=0-3", "If-Range": '"another"'})
    known = await api.get(place, headers={"If-None-Match": f'"x", W/{tag}'})

    assert (part.status_code, whole.status_code, known.status_code) == (206, 200, 304)
    assert known.content == b""


async def test_the_tag_of_an_attachment_is_known_again(api, attach):
    created = await attach()
    tag = created.headers["etag"]

    known = await api.get(created.headers["location"], headers={"If-None-Match": tag})
    assert (known.status_code, known.headers["etag"]) == (304, tag)


async def test_missing_bytes_are_told_before_anything_is_sent(api, attach, app):
    place = (await attach()).headers["location"] + "/content"
    async with app.state.database.session() as session:
        await app.state.storage.delete(await session.scalar(text("SELECT storage_key FROM stored_files")))
    answer = await api.get(place)

    assert (answer.status_code, answer.json()["code"]) == (404, "file_missing")


@pytest.mark.parametrize(("kind", "shown"), [("json", '"attachment_count":2'), ("csv", ",2,")])
async def test_an_export_counts_the_attachments_of_a_task(api, attach, kind, shown):
    for _ in range(2):
        await attach()
    exported = (await api.get("/tasks/export", params={"format": kind})).text

    assert "attachment_count" in exported
    assert shown in exported
