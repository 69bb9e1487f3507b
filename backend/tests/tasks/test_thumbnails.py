"""From an image on a task over its job to the thumbnails."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from sqlalchemy import text

import app.tasks.attachments.jobs  # noqa: F401  registers the handler
from app.worker.testing import run_jobs_until_idle


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
async def path(make):
    return f"/tasks/{(await make())['id']}/attachments"


@pytest.fixture
def attach(api, path):
    """Attaches an image; where it is."""

    async def attach(content: bytes, name: str = "photo.png") -> str:
        answer = await api.post(path, files={"file": (name, content)})
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    return attach


async def test_an_image_gets_its_thumbnails_from_a_job_that_shows_how_far_it_is(api, attach, settings):
    place = await attach(encoded(Image.new("RGB", (2000, 1000), (200, 10, 10)), "JPEG", quality=95), "photo.jpg")
    before = await api.get(place)
    early = await api.get(place + "/thumbnails/small")
    assert await run_jobs_until_idle(settings) == 1

    pending = before.json()["thumbnails"]
    assert (pending["state"], pending["sizes"], early.status_code) == ("pending", [], 404)
    job = (await api.get(f"/jobs/{pending['job_id']}")).json()
    assert (job["kind"], job["queue"], job["state"]) == ("image.process", "images", "completed")
    assert job["progress"] == {"current": 3, "total": 3, "message": "small"}
    after = await api.get(place, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json()["thumbnails"] == {
        "state": "ready",
        "sizes": ["small", "medium", "large"],
        "error_code": None,
        "job_id": job["id"],
    }
    for size, expected in (("small", (128, 64)), ("medium", (512, 256)), ("large", (1280, 640))):
        answer = await api.get(f"{place}/thumbnails/{size}")
        assert (answer.headers["content-type"], answer.headers["content-disposition"]) == ("image/webp", "inline")
        shown = Image.open(io.BytesIO(answer.content))
        assert (shown.format, shown.size) == ("WEBP", expected)
        assert shown.getpixel((10, 10)) == pytest.approx((200, 10, 10), abs=6)
        assert job["result"][size] == {"width": expected[0], "height": expected[1], "bytes": len(answer.content)}


async def test_a_size_that_there_is_not_is_not_found(api, attach):
    place = await attach(encoded(Image.new("L", (10, 10))))

    assert (await api.get(place + "/thumbnails/huge")).status_code == 404


async def test_an_image_that_is_refused_says_why_and_stays_to_be_downloaded(api, attach, settings):
    whole = encoded(Image.effect_noise((300, 300), 50))
    content = whole[: len(whole) // 2]
    place = await attach(content)
    await run_jobs_until_idle(settings)

    thumbnails = (await api.get(place)).json()["thumbnails"]
    assert (thumbnails["state"], thumbnails["error_code"]) == ("failed", "image_unreadable")
    job = (await api.get(f"/jobs/{thumbnails['job_id']}")).json()
    assert (job["state"], job["attempt"]) == ("discarded", 1)
    assert (await api.get(place + "/content")).content == content


async def test_the_state_is_true_after_the_job_is_pruned(api, attach, settings, app):
    good = await attach(encoded(Image.new("L", (10, 10))))
    bad = await attach(b"\x89PNG\r\n\x1a\n")
    await run_jobs_until_idle(settings)
    async with app.state.database.transaction() as session:
        await session.execute(text("DELETE FROM jobs"))

    shown = [(await api.get(place)).json()["thumbnails"] for place in (good, bad)]
    assert [(one["state"], one["error_code"]) for one in shown] == [("ready", None), ("failed", None)]


async def test_an_attachment_that_is_deleted_meanwhile_ends_the_job(api, attach, settings, app):
    place = await attach(encoded(Image.new("L", (10, 10))))
    job_id = (await api.get(place)).json()["thumbnails"]["job_id"]
    await api.delete(place)
    await run_jobs_until_idle(settings)

    job = (await api.get(f"/jobs/{job_id}")).json()
    assert (job["state"], job["errors"][-1]["code"]) == ("discarded", "attachment_gone")


async def test_an_attempt_makes_only_what_the_one_before_it_did_not(api, attach, settings, app):
    place = await attach(encoded(Image.new("L", (300, 300))))
    await run_jobs_until_idle(settings)
    keys = "SELECT thumbnail, storage_key FROM stored_files WHERE thumbnail IS NOT NULL"
    again = "UPDATE jobs SET state = 'available', finished_at = NULL WHERE kind = 'image.process'"
    async with app.state.database.transaction() as session:
        before = dict((await session.execute(text(keys))).all())
        await session.execute(text("DELETE FROM stored_files WHERE thumbnail = 'small'"))
        await session.execute(text("DELETE FROM job_effects WHERE effect_key = 'thumbnail:small'"))
        await session.execute(text(again))
    await run_jobs_until_idle(settings)

    async with app.state.database.session() as session:
        after = dict((await session.execute(text(keys))).all())
    assert {size for size in before if before[size] != after[size]} == {"small"}
    assert len((await api.get(place)).json()["thumbnails"]["sizes"]) == 3
