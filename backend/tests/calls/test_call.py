from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.calls.job_args import CallArgs
from app.calls.jobs import LONGEST_WAIT, SHOWN_CHARACTERS, retry_after
from app.infra.database import Database
from app.infra.settings import Settings
from app.kit.clock import utc_now
from app.models import Job
from app.worker import enqueue
from app.worker.testing import run_jobs_until_idle
from tests.servers import HttpServer, http_answer, http_server

Call = Callable[..., Awaitable[Job]]


@pytest.fixture
def call(settings: Settings, database: Database) -> Call:
    """Runs the job once, against a server that may be called, and returns its row."""

    async def call(server: HttpServer, job_id: UUID | None = None, **args: object) -> Job:
        allowing = settings.model_copy(update={"outgoing_allowed_hosts": [f"127.0.0.1:{server.port}"]})
        async with database.transaction() as session:
            if job_id is None:
                job_id = (await enqueue(session, CallArgs(**{"url": server.url, **args}))).id
            else:
                again = await session.get_one(Job, job_id)
                again.state, again.run_at = "available", utc_now() - timedelta(seconds=1)
        await run_jobs_until_idle(allowing)
        async with database.session() as session:
            return await session.get_one(Job, job_id)

    return call


async def test_the_answer_is_the_result(call: Call) -> None:
    async with http_server(http_answer(201, b'{"ok": true}', Content_Type="application/json")) as server:
        job = await call(server, method="PUT", headers={"X-Source": "tasks"}, body="hello")
    assert job.state == "completed"
    assert job.result == {
        "status": 201, "content_type": "application/json", "body": '{"ok": true}', "truncated": False,
    }  # fmt: skip
    line, headers, body = server.requests[0]
    assert line == "PUT /hook HTTP/1.1"
    assert (headers["x-source"], body) == ("tasks", b"hello")


async def test_each_attempt_carries_the_same_key(call: Call) -> None:
    async with http_server(http_answer(503), http_answer(200)) as server:
        job = await call(server)
        assert job.state == "scheduled"
        job = await call(server, job.id)
    assert job.state == "completed"
    assert [headers["idempotency-key"] for _, headers, _ in server.requests] == [str(job.id)] * 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(status: int, call: Call) -> None:
    async with http_server(http_answer(status)) as server:
        job = await call(server)
    assert (job.state, job.errors[0]["code"]) == ("scheduled", "http_transient")


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 422])
async def test_what_will_not_pass_is_discarded_with_the_answer(status: int, call: Call) -> None:
    async with http_server(http_answer(status, b"no", Location="http://127.0.0.1/")) as server:
        job = await call(server)
    assert (job.state, job.errors[0]["code"]) == ("discarded", "http_refused")
    assert job.result is not None
    assert (job.result["status"], job.result["body"]) == (status, "no")
    assert len(server.requests) == 1


async def test_the_next_attempt_is_when_the_receiver_says(call: Call) -> None:
    async with http_server(http_answer(429, Retry_After="1800")) as server:
        job = await call(server)
    assert timedelta(minutes=29) < job.run_at - utc_now() <= timedelta(minutes=30)


async def test_a_private_address_is_no_way_in(call: Call, settings: Settings, database: Database) -> None:
    async with http_server() as server, http_server() as inside:
        job = await call(server, url="http://169.254.169.254/latest/meta-data")
        assert (job.state, job.errors[0]["code"]) == ("discarded", "address_refused")
        job = await call(server, url=inside.url)
    assert (job.state, job.errors[0]["code"]) == ("discarded", "port_refused")
    assert inside.requests == []


async def test_nobody_there_is_tried_again(call: Call) -> None:
    async with http_server() as server:
        pass
    job = await call(server)
    assert (job.state, job.errors[0]["code"]) == ("scheduled", "connection_failed")


async def test_an_open_circuit_costs_no_call_and_no_attempt(call: Call) -> None:
    async with http_server(http_answer(500)) as server:
        for _ in range(6):
            job = await call(server)
    assert len(server.requests) == 5
    assert (job.state, job.attempt, job.errors) == ("scheduled", 0, [])
    assert timedelta(seconds=50) < job.run_at - utc_now() <= timedelta(seconds=120)


@pytest.mark.parametrize("body", [b"\x00" * 60_000, b"\xff" * 200_000, "ü\x01".encode() * 20_000])
async def test_any_body_fits_into_the_result(body: bytes, call: Call) -> None:
    async with http_server(http_answer(200, body)) as server:
        job = await call(server)
    assert job.state == "completed"
    assert job.result is not None
    assert job.result["truncated"] is True
    assert len(job.result["body"]) == SHOWN_CHARACTERS


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("url", "file:///etc/passwd", "url_refused"),
        ("url", "http://ada:secret@example.com/", "url_refused"),
        ("headers", {"Host": "example.com"}, "header_reserved"),
        ("headers", {"idempotency-KEY": "1"}, "header_reserved"),
        ("headers", {"Content-Length": "1"}, "header_reserved"),
        ("headers", {"X One": "1"}, "header_invalid"),
        ("headers", {"X": "1\r\nY: 2"}, "header_invalid"),
        ("headers", {"X": "ü"}, "header_invalid"),
        ("headers", {f"X-{n}": "1" for n in range(51)}, "too_long"),
        ("method", "TRACE", "literal_error"),
    ],
)
def test_args_that_could_not_be_sent_are_refused(field: str, value: object, code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CallArgs.model_validate({"url": "https://example.com/", field: value})
    assert [(error["loc"][0], error["type"]) for error in refused.value.errors()] == [(field, code)]


def test_a_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("120") == 120
    later = retry_after(format_datetime(utc_now() + timedelta(minutes=5), usegmt=True))
    assert later is not None
    assert 290 < later <= 300
    assert retry_after(format_datetime(utc_now() - timedelta(minutes=5))) == 0
    assert retry_after(None) is None


@given(st.text() | st.integers().map(str) | st.datetimes().map(str))
def test_any_retry_after_is_within_a_day_or_none(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT


async def test_the_metrics_show_a_host_that_failed(call: Call, app, client) -> None:
    async with http_server(http_answer(500)) as server:
        for _ in range(5):
            await call(server)
    app.state.health._last_round = -1e9
    await app.state.health.check_now()
    line = f'taskapi_outgoing_circuit{{host="127.0.0.1:{server.port}",state="open"}} 1.0'
    assert line in app.state.metrics.render().decode()
