"""The api's HTTP server: uvicorn, stopped in an order in which no request is lost (docs/adr/0002)."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import TYPE_CHECKING, cast

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.core.middleware import MAX_HEADER_BYTES, MAX_TARGET_BYTES, SECURITY_HEADERS, HeadersTooLarge, UriTooLong
from app.kit.errors import AppError, BadRequest
from app.kit.ids import new_id
from app.web import problems

if TYPE_CHECKING:
    import socket
    from types import FrameType

    from fastapi import FastAPI

    from app.core.lifecycle import AppLifecycleManager
    from app.infra.settings import Settings

log = structlog.get_logger()

_POLL_SECONDS = 0.05
_LINGER_SECONDS = 1.0
_QUIET_SECONDS = 1.0
"""A connection that has been idle for so long is not about to send: closing it cuts nobody off."""


class Protocol(HttpToolsProtocol):
    """Bounds a head while it arrives, and answers what cannot be parsed with a problem like any other."""

    _head_bytes: int | None = 0
    _refused = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_bytes = None

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self._head_bytes is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES + MAX_TARGET_BYTES:
                self._refuse(UriTooLong() if len(self.url) > MAX_TARGET_BYTES else HeadersTooLarge())

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's text is not for clients
        self._refuse(BadRequest("This is not a valid HTTP request"))

    def _refuse(self, error: AppError) -> None:
        request_id = str(new_id())
        answer = problems.render(error, request_id)
        own = ((b"x-request-id", request_id.encode()), (b"connection", b"close"))
        lines = b"".join(b"%s: %s\r\n" % pair for pair in (*answer.raw_headers, *SECURITY_HEADERS, *own))
        self.transport.write(STATUS_LINE[error.status] + lines + b"\r\n" + bytes(answer.body))
        # Closed at once with data unread, the kernel would reset the connection and the client lose the answer.
        self._refused = True
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    @property
    def idle_for(self) -> float:
        """Seconds since the last answer was sent; 0 while a request is being served, infinity before the first."""
        if self.cycle is not None and not self.cycle.response_complete:
            return 0.0
        timer = self.timeout_keep_alive_task
        return self.loop.time() - (timer.when() - self.timeout_keep_alive) if timer is not None else float("inf")


class Server(uvicorn.Server):
    """Owns SIGTERM and SIGINT.

    The first one: not ready, each answer closes its connection, the listener stays open `drain_seconds`; then it
    closes, what is open is answered within `graceful_seconds`, and uvicorn's own shutdown runs the lifespan's. The exit
    code is 0. The same signal a second time ends the process at once.
    """

    def __init__(self, config: uvicorn.Config, settings: Settings, lifecycle: AppLifecycleManager) -> None:
        super().__init__(config)
        self._settings = settings
        self._lifecycle = lifecycle
        self._seen: set[int] = set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if sig in self._seen:
            os._exit(128 + sig)
        # A flag and nothing else: the handler may have interrupted anything, a half-written log line too.
        self._seen.add(sig)
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                log.info("listening", host=host, port=port, pid=os.getpid())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._lifecycle.drain()
        if self._lifecycle.draining:
            await asyncio.sleep(self._settings.drain_seconds)
            for server in self.servers:
                server.close()
            await self._answer_what_is_open()
        await super().shutdown(sockets)

    async def _answer_what_is_open(self) -> None:
        loop = asyncio.get_running_loop()
        closed = loop.time()
        while self.server_state.connections and loop.time() < closed + self._settings.graceful_seconds:
            if loop.time() > closed + _QUIET_SECONDS:
                for connection in cast("list[Protocol]", list(self.server_state.connections)):
                    if connection.idle_for > _QUIET_SECONDS:
                        connection.shutdown()
            await asyncio.sleep(_POLL_SECONDS)


def serve(app: FastAPI) -> int:
    """Serves until a signal; the exit code: 0, or 3 when the application could not be started."""
    settings: Settings = app.state.settings
    lifecycle: AppLifecycleManager = app.state.lifecycle
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the application does it, for whichever server runs it
        timeout_keep_alive=settings.keepalive_timeout,
        timeout_graceful_shutdown=1,  # on top of ours, for what did not end in time
    )
    # What is built by now stays: the collector, which runs with every few requests, need not walk it again each time.
    gc.collect()
    gc.freeze()
    Server(config, settings, lifecycle).run()
    if lifecycle.failure is not None:
        sys.stderr.write(f"not started: {lifecycle.failure}\n")
        return 3
    return 0
