"""The reference pages: `/docs` to read and to try, `/redoc` to read. Everything they load comes from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/docs": ("docs.html", "text/html"),
    "/redoc": ("docs.html", "text/html"),
    "/docs/docs.js": ("docs.js", "text/javascript"),
    "/docs/docs.css": ("docs.css", "text/css"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


def add_pages(app: FastAPI) -> None:
    """Serves the pages; they are not part of the document."""
    for path, (name, media_type) in _FILES.items():
        page = Response((_STATIC / name).read_bytes(), headers=_HEADERS, media_type=media_type)

        async def show(_: Request, page: Response = page) -> Response:
            return page

        app.add_route(path, show, include_in_schema=False)
