"""The one middleware: what holds for each request before a route is known, and for each answer whatever made it.

It runs on every request, so it is plain ASGI and looks at each header once (docs/adr/0002).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import structlog
from starlette.requests import ClientDisconnect, Request

from app.core.exception_handlers import answer
from app.infra import logging, tracing
from app.kit.errors import AppError, BadRequest, PayloadTooLarge, Unavailable, UnsupportedMediaType
from app.web.problems import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.core.lifecycle import AppLifecycleManager
    from app.infra.metrics import Metrics
    from app.infra.settings import Settings

log = structlog.get_logger()

MAX_TARGET_BYTES = 8_192
"""RFC 9110 4.1 asks for 8,000 octets at least."""
MAX_HEADER_BYTES = 32_768
MAX_HEADERS = 100

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
"""For answers that are data; a route that serves a page sends its own."""
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")
"""Two years; only where the request came over TLS (RFC 6797 7.2)."""
_CLOSE = (b"connection", b"close")
_SECURITY_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)

CLIENT_CLOSED_REQUEST = 499
"""Logged and counted where the client left before an answer; nginx's word for it."""
PROBES = frozenset({"/health", "/health/live", "/health/ready", "/health/startup"})
"""Asked by address, and at any time: neither the host nor the phase of the process matters."""
_BY_ADDRESS = PROBES | {"/metrics", "/health/detailed"}
"""Of each process by itself, which has no name."""
_ONCE = (b"host", b"authorization", b"content-type", b"content-length", b"content-encoding", b"x-request-id")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,128}")
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16


class UriTooLong(AppError):
    code, status, title = "uri_too_long", 414, "The address of the request is too long"


class HeadersTooLarge(AppError):
    code, status, title = "headers_too_large", 431, "The header of the request is too large"


class UnknownHost(AppError):
    code, status, title = "unknown_host", 421, "This host is not served here"


class HttpMiddleware:
    """`body_limits` names the routes that take more than `MAX_BODY_BYTES`: by method and last part of the path, in bytes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        lifecycle: AppLifecycleManager,
        metrics: Metrics,
        body_limits: Mapping[tuple[str, str], int],
    ) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._hosts = frozenset(host.encode() for host in settings.allowed_hosts)
        self._any_host = "*" in settings.allowed_hosts
        self._body_limit = settings.max_body_bytes
        self._body_limits = body_limits
        self._max_open = settings.max_connections
        self._patience = settings.database_deadline
        self._open = 0
        metrics.gauge("taskapi_http_requests_open", "Requests being served.", lambda: self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id, bound, parent = _identify(headers)
        token = logging.bind(**bound)
        scope.setdefault("state", {})["request_id"] = request_id
        method, path = scope["method"], scope["path"]
        scope = _normalised(scope)
        exchange = _Exchange(receive, send, self._extra_headers(scope, request_id), head=method == "HEAD")
        self._open += 1
        try:
            if self._lifecycle.phase == "starting" and not scope["path"].startswith("/health"):
                # A proxy without checks of its own sends requests as soon as the port is open: better late than refused.
                await self._lifecycle.settled_within(self._patience)
            refusal = self._refusal(scope, headers)
            if refusal is None:
                if b"content-length" in headers or b"transfer-encoding" in headers:
                    exchange.limit = self._limit_of(scope)
                    exchange.request_id = request_id
                    receive = exchange.receive
                await self._app(scope, receive, exchange.send)
            else:
                if b"expect" in headers:
                    # The client may or may not send the body now: what follows could be taken for a request.
                    exchange.extra.append(_CLOSE)
                await render(refusal, request_id)(scope, receive, exchange.send)
        except ClientDisconnect:
            # Nobody is there to be answered, or the answer was 413 already.
            log.debug("client_disconnected")
        except Exception as error:
            # Only what the handlers inside could not answer: the answer had begun, or they failed.
            response = answer(Request(scope), error)
            if exchange.status:
                raise
            await response(scope, receive, exchange.send)
        finally:
            self._open -= 1
            seconds = time.perf_counter() - started
            self._record(scope, method, path, exchange.status or CLIENT_CLOSED_REQUEST, seconds)
            if tracing.is_on():
                _trace(scope, method, exchange.status or CLIENT_CLOSED_REQUEST, seconds, ids=bound, parent=parent)
            logging.unbind(token)

    def _extra_headers(self, scope: Scope, request_id: str) -> list[tuple[bytes, bytes]]:
        extra = [(b"x-request-id", request_id.encode())]
        if self._lifecycle.draining:
            extra.append(_CLOSE)
        if scope["scheme"] == "https":
            extra.append(_STRICT_TRANSPORT)
        return extra

    def _limit_of(self, scope: Scope) -> int:
        return self._body_limits.get((scope["method"], scope["path"].rpartition("/")[2]), self._body_limit)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> AppError | None:  # noqa: PLR0911  a list of rules
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return UriTooLong()
        if len(headers) > MAX_HEADERS or sum(map(len, headers)) + sum(map(len, headers.values())) > MAX_HEADER_BYTES:
            return HeadersTooLarge()
        if len(scope["headers"]) != len(headers) and (fault := _repeated(scope["headers"])) is not None:
            return fault
        if scope["path"] in PROBES:
            return None
        by_name = scope["path"] not in _BY_ADDRESS
        if by_name and not (self._any_host or _host_name(headers.get(b"host", b"")) in self._hosts):
            return UnknownHost()
        if not self._lifecycle.started and not scope["path"].startswith("/health/"):
            return Unavailable("The service is starting", retry_after=2)
        if self._open > self._max_open:
            return Unavailable("Too many requests are being served")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return UnsupportedMediaType("Send the body without Content-Encoding")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > self._limit_of(scope):  # noqa: PLR2004  of an int64
            return PayloadTooLarge(f"The body may have at most {self._limit_of(scope)} bytes")
        return None

    def _record(self, scope: Scope, method: str, path: str, status: int, seconds: float) -> None:
        route = _template_of(scope)
        # Methods and paths that a client made up must not become series.
        self._metrics.observe_request(route or "unmatched", method if route else "any", status, seconds)
        if status < 400 and route in PROBES:  # noqa: PLR2004
            return
        client = scope.get("client")
        log.info(
            "request",
            method=method,
            path=path[:512],
            route=route,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            client=client[0] if client else None,
        )


class _Exchange:
    """One request and its answer. `status` is 0 until the answer begins."""

    __slots__ = ("_head", "_receive", "_received", "_send", "extra", "limit", "refused", "request_id", "status")

    def __init__(self, receive: Receive, send: Send, extra: list[tuple[bytes, bytes]], *, head: bool) -> None:
        self._receive = receive
        self._send = send
        self.extra = extra
        self._head = head
        self._received = 0
        self.status = 0
        self.limit = 0
        self.refused = False
        self.request_id = ""

    async def receive(self) -> Message:
        """The next part of the body. Past the limit the answer is 413 at once, whatever the reader makes of it."""
        if self.refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received <= self.limit:
            return message
        if not self.status:
            refusal = PayloadTooLarge(f"The body may have at most {self.limit} bytes")
            await render(refusal, self.request_id)({"type": "http"}, self._receive, self.send)
        self.refused = True
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.refused:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[tuple[bytes, bytes]] = message["headers"]
            names = {name for name, _ in headers}
            if names.isdisjoint(_SECURITY_NAMES):
                message["headers"] = [*headers, *SECURITY_HEADERS, *self.extra]
            else:
                missing = [pair for pair in SECURITY_HEADERS if pair[0] not in names]
                message["headers"] = [*headers, *missing, *self.extra]
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)


def _trace(scope: Scope, method: str, status: int, seconds: float, *, ids: dict[str, str], parent: str | None) -> None:
    """The request's span. Probes and scrapes are none: they would be most of what is sent."""
    route = _template_of(scope)
    if route in PROBES or route == "/metrics":
        return
    tracing.record(
        f"{method} {route}" if route else method,
        "SERVER",
        seconds,
        ids=ids,
        parent=parent,
        error=str(status) if status >= 500 else None,  # noqa: PLR2004
        **{"http.request.method": method, "http.route": route, "http.response.status_code": status},
        **{"taskapi.request_id": ids["request_id"]},
    )


def _identify(headers: dict[bytes, bytes]) -> tuple[str, dict[str, str], str | None]:
    """The request's id, what its log lines, jobs and changes carry, and the span that it was called from."""
    trace, parent = _trace_of(headers.get(b"traceparent"))
    given = headers.get(b"x-request-id")
    request_id = given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else trace
    return request_id, {"request_id": request_id, "trace_id": trace, "span_id": tracing.new_span_id()}, parent


def _trace_of(parent: bytes | None) -> tuple[str, str | None]:
    """The trace and span of a valid `traceparent` (W3C Trace Context 3.2.2), else a new trace."""
    if parent is not None:
        found = _TRACEPARENT.fullmatch(parent)
        if found is not None:
            version, trace, span, rest = found.groups()
            # A later version may append fields; this one has none, and zeros are no ids.
            valid = version != b"ff" and (rest is None or version != b"00")
            if valid and trace != _NO_TRACE and span != _NO_SPAN:
                return trace.decode(), span.decode()
    return tracing.new_trace_id(), None


def _template_of(scope: Scope) -> str | None:
    """The template of the route that was found, with the prefixes of all rooms that it lies in."""
    # A route that was declared in a room knows its own part alone; FastAPI keeps the whole beside it.
    found = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(found, "path_format", None)


def _normalised(scope: Scope) -> Scope:
    """`HEAD` is routed as `GET`, `/tasks/` as `/tasks`. The server's own scope keeps its method: it frames by that."""
    path: str = scope["path"]
    if scope["method"] == "HEAD":
        scope = {**scope, "method": "GET", "taskapi.head": True}
    if len(path) > 1 and path[-1] == "/":
        scope["path"] = path.rstrip("/") or "/"
    return scope


def _host_name(host: bytes) -> bytes:
    """The name in a Host header, without the port (RFC 9110 7.2)."""
    name, colon, port = host.rpartition(b":")
    return (name if colon and port.isdigit() else host).lower()


def _repeated(headers: list[tuple[bytes, bytes]]) -> AppError | None:
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return HeadersTooLarge()
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in _ONCE):
        return BadRequest("A header that may be sent once was sent twice")
    return None
