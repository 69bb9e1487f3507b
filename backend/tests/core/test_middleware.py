from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from app.core.app_factory import create_app
from app.infra import logging
from app.infra.settings import Settings
from app.web.routing import Route


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.fixture
def echo(app: FastAPI) -> None:
    """A route that shows what reached it."""

    async def show(request: Request) -> Response:
        body = await request.body()
        context = dict(logging.context())
        return JSONResponse({"method": request.method, "path": request.url.path, "size": len(body), **context})

    app.router.add_api_route("/echo", show, methods=["GET", "POST"], route_class_override=Route)


async def test_a_valid_request_id_is_taken_over(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/nowhere", headers={"X-Request-ID": "Abc_12.3-x"})
    assert answer.headers["x-request-id"] == "Abc_12.3-x"
    assert answer.json()["request_id"] == "Abc_12.3-x"


@pytest.mark.parametrize("given", ["short", "x" * 129, "with space 1", "new\tline123", "naïve-request"])
async def test_another_request_id_is_replaced(client: httpx2.AsyncClient, given: str) -> None:
    answer = await client.get("/nowhere", headers={"X-Request-ID": given.encode()})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.usefixtures("echo")
async def test_a_valid_traceparent_is_continued(client: httpx2.AsyncClient) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await client.get("/echo", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.json()["trace_id"] == trace
    assert answer.json()["span_id"] != "00f067aa0ba902b7"


@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize(
    "given",
    [
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "nonsense",
    ],
)
async def test_a_traceparent_that_is_none_starts_a_new_trace(client: httpx2.AsyncClient, given: str) -> None:
    answer = await client.get("/echo", headers={"traceparent": given})
    assert answer.json()["trace_id"] not in given.lower()


async def test_every_answer_carries_the_security_headers(client: httpx2.AsyncClient) -> None:
    for path in ("/health/live", "/nowhere", "/openapi.json"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert "strict-transport-security" not in headers


async def test_over_tls_browsers_are_told_to_stay_with_it(app: FastAPI) -> None:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://testserver") as client:
        assert "includeSubDomains" in (await client.get("/health/live")).headers["strict-transport-security"]


async def test_an_unknown_host_is_refused_but_the_probes_answer_it(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/openapi.json", headers={"Host": "evil.example"})).json()["code"] == "unknown_host"
    assert (await client.get("/openapi.json", headers={"Host": "testserver.evil.example"})).status_code == 421
    assert (await client.get("/openapi.json", headers={"Host": "TESTSERVER:8000"})).status_code == 200
    for probe in ("/health", "/health/live", "/health/ready", "/health/startup", "/health/ready/"):
        assert (await client.get(probe, headers={"Host": "10.0.3.17:8000"})).status_code == 200


async def test_who_watches_one_process_asks_it_by_its_address(client: httpx2.AsyncClient) -> None:
    for path in ("/metrics", "/health/detailed"):
        assert (await client.get(path, headers={"Host": "10.0.0.7:8000"})).status_code == 401, path


async def test_two_hosts_or_two_tokens_are_refused(client: httpx2.AsyncClient) -> None:
    for name in ("Host", "Authorization", "Content-Type"):
        answer = await client.get("/openapi.json", headers=[(name, "testserver"), (name, "testserver")])
        assert answer.status_code == 400, name


@pytest.mark.usefixtures("echo")
async def test_a_trailing_slash_is_served_and_head_is_get_without_the_body(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/echo/")).json()["path"] == "/echo"
    head = await client.head("/echo")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


@pytest.mark.usefixtures("echo")
async def test_a_body_over_the_limit_is_refused_whether_announced_or_not(
    client: httpx2.AsyncClient, settings: Settings
) -> None:
    limit = settings.max_body_bytes
    assert (await client.post("/echo", content=b"x" * limit)).json()["size"] == limit
    announced = await client.post("/echo", content=b"x" * (limit + 1))
    assert (announced.status_code, announced.json()["code"]) == (413, "payload_too_large")

    async def parts() -> Any:
        for _ in range(limit // 1024 + 1):
            yield b"x" * 1024

    streamed = await client.post("/echo", content=parts())
    assert (streamed.status_code, streamed.json()["code"]) == (413, "payload_too_large")


@pytest.mark.usefixtures("echo")
async def test_an_encoded_body_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/echo", content=b"x", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_an_address_or_a_header_that_is_too_large_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/" + "a" * 9000)).json()["code"] == "uri_too_long"
    assert (await client.get("/openapi.json?q=" + "a" * 9000)).status_code == 414
    assert (await client.get("/openapi.json", headers={"X-Big": "a" * 40_000})).json()["code"] == "headers_too_large"
    many = {f"x-header-{number}": "1" for number in range(200)}
    assert (await client.get("/openapi.json", headers=many)).status_code == 431
    assert (await client.get("/openapi.json", headers=[("x-same", "1")] * 200)).status_code == 431


async def test_before_the_start_only_health_answers(settings: Settings) -> None:
    app = create_app(settings)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/startup")).status_code == 503
        assert (await client.get("/health/ready")).status_code == 503
        early = await client.get("/tasks")
        assert (early.status_code, early.json()["code"], early.headers["retry-after"]) == (503, "unavailable", "2")


async def test_draining_closes_the_connection_of_each_answer(app: FastAPI, client: httpx2.AsyncClient) -> None:
    assert "connection" not in (await client.get("/openapi.json")).headers
    app.state.lifecycle.drain()
    assert (await client.get("/openapi.json")).headers["connection"] == "close"


async def test_more_requests_than_allowed_at_once_are_refused(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_connections": 1}))
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client:

            async def nested() -> Response:
                answer = await client.get("/openapi.json")
                assert (await client.get("/health/live")).status_code == 200
                return Response(str(answer.status_code))

            app.add_api_route("/nested", nested)
            assert (await client.get("/nested")).text == "503"
            assert (await client.get("/openapi.json")).status_code == 200


@pytest.mark.usefixtures("echo")
async def test_one_line_is_logged_for_a_request_and_it_counts_under_its_template(
    app: FastAPI, client: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    await client.get("/echo", headers={"X-Request-ID": "request-one"})
    await client.get("/invented/0815")
    await client.get("/health/live")
    logged = [event for event in events(capsys.readouterr().out) if event["event"] == "request"]
    assert [(one["method"], one["path"], one["route"], one["status"]) for one in logged] == [
        ("GET", "/echo", "/echo", 200),
        ("GET", "/invented/0815", None, 404),
    ]
    assert logged[0]["request_id"] == "request-one"
    metrics = app.state.metrics.render().decode()
    assert 'taskapi_http_requests_total{method="GET",route="/echo",status="200"} 1.0' in metrics
    assert 'taskapi_http_requests_total{method="any",route="unmatched",status="404"} 1.0' in metrics
    assert "0815" not in metrics


async def test_the_route_of_a_room_in_a_room_has_its_whole_prefix(
    app: FastAPI, api: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    somewhere = "01890000-0000-7000-8000-000000000000"
    capsys.readouterr()
    for path in ("/tasks/{task_id}", "/tasks/{task_id}/comments/{comment_id}", "/tasks/{task_id}/attachments"):
        await api.get(re.sub(r"{\w+}", somewhere, path))
        logged = [event for event in events(capsys.readouterr().out) if event["event"] == "request"]
        assert [one["route"] for one in logged] == [path]
        assert f'taskapi_http_requests_total{{method="GET",route="{path}"' in app.state.metrics.render().decode()


async def test_an_exception_that_nobody_expected_is_a_problem_without_details(
    app: FastAPI, client: httpx2.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    async def boom() -> None:
        raise KeyError("hunter2")

    app.add_api_route("/boom", boom)
    answer = await client.get("/boom")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert "KeyError" not in answer.text
    failure = next(one for one in events(capsys.readouterr().out) if one["event"] == "request_failed")
    assert "KeyError: 'hunter2'" in failure["exception"]
    assert failure["request_id"] == answer.headers["x-request-id"]


async def test_without_origins_there_is_no_cors_and_with_them_only_they_are_let_in(
    client: httpx2.AsyncClient, settings: Settings
) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await client.get("/health/live", headers=asked)).headers
    app = create_app(settings.model_copy(update={"cors_origins": ["https://app.example"]}))
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as browser:
            preflight = await browser.options("/tasks", headers=asked)
            assert preflight.headers["access-control-allow-origin"] == "https://app.example"
            assert "x-request-id" in preflight.headers
            wanted = {"Access-Control-Request-Headers": "last-event-id, range, if-range"}  # of whoever resumes
            assert (await browser.options("/tasks", headers=asked | wanted)).status_code == 200
            refused = await browser.get("/tasks", headers=asked)
            assert refused.status_code == 401
            assert refused.headers["access-control-allow-origin"] == "https://app.example"
            for origin in ("https://evil.example", "null", "https://app.example.evil", "https://xapp.example"):
                answer = await browser.get("/health/live", headers={"Origin": origin})
                assert "access-control-allow-origin" not in answer.headers


async def test_the_client_is_the_right_most_address_that_is_no_proxy_of_ours(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(settings.model_copy(update={"trusted_proxies": ["10.0.0.0/8"]}))
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        for peer, expected in (("10.1.1.1", "198.51.100.7"), ("192.0.2.9", "192.0.2.9")):
            transport = httpx2.ASGITransport(app=app, client=(peer, 1))
            async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
                capsys.readouterr()
                await client.get("/nowhere", headers={"X-Forwarded-For": "203.0.113.1, 198.51.100.7, 10.2.2.2"})
            assert [one["client"] for one in events(capsys.readouterr().out) if one["event"] == "request"] == [expected]
