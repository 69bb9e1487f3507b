"""Files on their way out: always as an attachment, whatever they hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request

_PLAIN = re.compile(r"[^A-Za-z0-9 ._-]")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")


def attachment(request: Request, pieces: AsyncIterator[bytes], *, name: str, media_type: str, size: int) -> Response:
    """The file under its name (RFC 6266, RFC 8187); a media type that is none is served as bytes."""
    plain = _PLAIN.sub("_", name).strip() or "file"
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Length": str(size),
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    kind = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
    if request.scope.get("taskapi.head"):
        return Response(headers=headers, media_type=kind)
    return StreamingResponse(pieces, headers=headers, media_type=kind)
