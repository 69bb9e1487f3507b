"""Spans, as a collector receives them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.calls.job_args import CallArgs
from app.core.app_factory import create_app
from app.infra import tracing
from app.infra.settings import Settings
from app.web.routing import Route
from app.web.session import WorkDep
from app.worker import enqueue
from app.worker.child import Child
from tests.processes import BACKEND
from tests.servers import http_server

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FROM_NGINX = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


class Collector(ThreadingHTTPServer):
    """Takes spans by OTLP over HTTP, as a collector does."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[Any]:
        found = []
        for body in self.received:
            request = ExportTraceServiceRequest.FromString(body)
            for of_resource in request.resource_spans:
                for of_scope in of_resource.scope_spans:
                    found += of_scope.spans
        return found

    def one(self, start: str) -> Any:
        (span,) = [span for span in self.spans() if span.name.startswith(start)]
        return span


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.server.received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def traced(settings: Settings, collector: Collector) -> Settings:
    return settings.model_copy(update={"otel_exporter_otlp_endpoint": collector.url})


@pytest.fixture
async def app(traced: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(traced)
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        yield app


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def test_a_request_and_its_statements_are_spans_of_the_callers_trace(
    api: httpx2.AsyncClient, collector: Collector
) -> None:
    answer = await api.post("/tasks", json={"title": "Canary in the mine"}, headers=FROM_NGINX)
    await api.get(f"/tasks/{answer.json()['id']}/comments", headers=FROM_NGINX)
    await api.get("/health/live", headers=FROM_NGINX)
    await asyncio.sleep(0)  # the driver tells of its statements in the next pass of the loop
    await asyncio.to_thread(tracing.stop)
    request = collector.one("POST /tasks")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    told = attributes(request)
    assert (told["http.route"], told["http.response.status_code"]) == ("/tasks", 201)
    assert told["taskapi.request_id"] == answer.headers["x-request-id"]
    statements = [span for span in collector.spans() if span.parent_span_id == request.span_id]
    assert statements
    for span in statements:
        assert span.trace_id == request.trace_id
    assert any("tasks" in attributes(span)["db.query.text"] for span in statements)
    reading = collector.one("GET /tasks/{task_id}/comments")
    assert any(span.parent_span_id == reading.span_id for span in collector.spans())
    assert not any("live" in span.name for span in collector.spans())
    assert not any(b"Canary" in body for body in collector.received)


async def test_one_trace_from_the_request_over_the_row_to_the_attempt_and_the_call(
    app: FastAPI, client: httpx2.AsyncClient, traced: Settings, collector: Collector
) -> None:
    async with http_server() as receiver:

        async def call_it(work: WorkDep) -> None:
            args = CallArgs(url=receiver.url, method="POST", body="x")
            await enqueue(await work.transaction(), args)

        app.router.add_api_route("/call-it", call_it, methods=["POST"], route_class_override=Route)
        await client.post("/call-it", headers=FROM_NGINX)
        allowed = traced.model_copy(update={"outgoing_allowed_hosts": [f"127.0.0.1:{receiver.port}"]})
        child = Child(allowed, "test", lambda: None)
        assert await asyncio.to_thread(child.run_next, CallArgs.queue)
        await asyncio.to_thread(child.close)
    request, attempt = collector.one("POST /call-it"), collector.one("job http.call")
    (call,) = [span for span in collector.spans() if span.name == "POST"]
    assert {span.trace_id.hex() for span in (request, attempt, call)} == {TRACE}
    assert attempt.parent_span_id == request.span_id
    assert call.parent_span_id == attempt.span_id
    assert attributes(attempt)["taskapi.job.state"] == "completed"
    assert attributes(call)["http.response.status_code"] == 200
    ((_, headers, _),) = receiver.requests
    assert headers["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert any(span.parent_span_id == attempt.span_id and span.name == "SELECT" for span in collector.spans())


async def test_a_collector_that_is_away_harms_nobody(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"otel_exporter_otlp_endpoint": "http://127.0.0.1:1"}))
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client:
            assert (await client.get("/openapi.json")).status_code == 200


async def test_a_share_of_the_traces_is_the_same_share_everywhere(traced: Settings, collector: Collector) -> None:
    tracing.start(traced.model_copy(update={"otel_traces_sampler_arg": 0.5}), "api")
    for half in ("7", "8"):
        ids = {"trace_id": f"{'0' * 15}1{half}{'0' * 15}", "span_id": "1" * 16}
        tracing.record(f"half {half}", "SERVER", 0.1, ids=ids, parent=None)
    tracing.stop()
    assert [span.name for span in collector.spans()] == ["half 7"]


def test_without_a_collector_no_exporter_is_imported() -> None:
    program = "import sys; from app.core.app_factory import create_app; create_app(); print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=BACKEND, env={"HOME": "/"}
    )
    assert "app.infra.tracing" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("opentelemetry.exporter")]
