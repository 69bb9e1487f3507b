"""Server-sent events (WHATWG HTML 9.2): their bytes, and the answer that carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b":\n\n"
HEARTBEAT_SECONDS = 10.0
"""Below the time after which proxies end a connection that is silent (nginx/nginx.conf: 15 s)."""
_EVENT = {
    "type": "object",
    "description": "One event of the stream; `data` is JSON.",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["event", "data"],
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until there are no more",
        "content": {MEDIA_TYPE: {"schema": _EVENT, "example": {"id": "1", "event": "progress", "data": "{}"}}},
    },
    204: {"description": "There is nothing after `Last-Event-ID`: do not connect again"},
}
_HEADERS = {"X-Accel-Buffering": "no"}


def event(name: str, data: bytes, *, event_id: str | None = None, retry_ms: int | None = None) -> bytes:
    """One event; `data` is JSON, so it has no line breaks. A client sends the last `event_id` when it comes back."""
    lines = [b"event: " + name.encode()]
    if event_id is not None:
        lines.append(b"id: " + event_id.encode())
    if retry_ms is not None:
        lines.append(b"retry: %d" % retry_ms)
    return b"\n".join([*lines, b"data: " + data, b"", b""])


def stream(request: Request, events: AsyncIterator[bytes]) -> Response:
    """The answer; `HEAD` gets its head alone, and not after the last event."""
    if request.scope.get("taskapi.head"):
        return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
    return StreamingResponse(events, headers=_HEADERS, media_type=MEDIA_TYPE)
