"""Stored files on their way out: whole or in part, and never as something that a browser would run."""

import re
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Header, Request
from starlette.responses import Response, StreamingResponse

from app.infra.storage import Storage
from app.kit.errors import AppError, NotFound
from app.web.preconditions import IfNoneMatch, is_known

Range = Annotated[
    str | None,
    Header(
        alias="Range",
        description="One range of bytes, `bytes=0-1023`; an answer in part is 206. Several ranges: the whole file.",
    ),
]
IfRange = Annotated[str | None, Header(alias="If-Range", description="The range counts while this is the ETag.")]

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {
        "description": "The part that was asked for.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "You have these bytes"},
    416: {"description": "The range begins after the end of the file"},
}
_PLAIN = re.compile(r"[^A-Za-z0-9 ._-]")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+(; charset=utf-8)?")
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))", re.IGNORECASE)
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-site",
    "Cache-Control": "private, no-cache",  # a copy may be kept, and is asked for again: rights may have gone
    "Accept-Ranges": "bytes",
}


class FileMissing(NotFound):
    code, title = "file_missing", "The content of this file is missing"


class RangeNotSatisfiable(AppError):
    code, status, title = "range_not_satisfiable", 416, "The range begins after the end of the file"


@dataclass(frozen=True, slots=True)
class Download:
    """A stored file to be sent; without a `name` the answer may be shown in place, which is for images made here."""

    key: str
    size: int
    sha256: bytes
    media_type: str
    name: str | None = None

    @property
    def tag(self) -> str:
        return f'"{self.sha256.hex()}"'


class Wanted:
    """What a client asks for: the whole file, a part of it, or only what it does not have yet."""

    def __init__(
        self, request: Request, if_none_match: IfNoneMatch = None, range_: Range = None, if_range: IfRange = None
    ) -> None:
        self.head = "taskapi.head" in request.scope
        self.if_none_match = if_none_match
        self.range = range_
        self.if_range = if_range

    def part(self, file: Download) -> tuple[int, int]:
        """From which byte on, and where it ends, that one excluded. Raises RangeNotSatisfiable."""
        if self.range is None or self.if_range not in {None, file.tag}:
            return 0, file.size
        return _part(self.range, file.size)


WantedDep = Annotated[Wanted, Depends()]


async def send(storage: Storage, file: Download, wanted: Wanted) -> Response:
    """200, 206 or 304 (RFC 9110 14). Raises FileMissing before a byte is sent, RangeNotSatisfiable."""
    headers = {**_SAFE, "ETag": file.tag}
    if is_known(wanted.if_none_match, file.tag):
        return Response(status_code=304, headers=headers)
    start, end = wanted.part(file)
    status = 200
    if (start, end) != (0, file.size):
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        status = 206
    headers["Content-Length"] = str(end - start)
    headers["Content-Disposition"] = "inline" if file.name is None else disposition(file.name)
    kind = file.media_type if _MEDIA_TYPE.fullmatch(file.media_type) else "application/octet-stream"
    try:
        body = await storage.open(file.key, start, end)
    except FileNotFoundError:
        raise FileMissing from None
    if wanted.head:
        return Response(None, status, headers, kind)
    return StreamingResponse(body, status, headers, kind)


def _part(header: str, size: int) -> tuple[int, int]:
    """The bytes that a `Range` asks for, the end excluded; all of them where it is not one range of bytes (14.2)."""
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        return 0, size
    first, last, suffix = (None if part is None else int(part) for part in found.groups())
    if first is None:
        start, end = max(0, size - (suffix or 0)), size
    elif last is not None and last < first:
        return 0, size
    else:
        start, end = first, size if last is None else min(last + 1, size)
    if start >= size:
        raise RangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, end


def disposition(name: str) -> str:
    """`attachment` with the name in both forms of RFC 6266: what ASCII holds of it, and all of it."""
    plain = _PLAIN.sub("_", name).strip() or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
