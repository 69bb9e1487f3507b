"""Answers whose JSON was made already: rows of our own database are dumped, not validated again (docs/adr/0002)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from app.web.preconditions import etag, not_modified

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def json_answer(
    adapter: TypeAdapter[Any], value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`value` as the adapter's type writes it; a test compares with what validation would make of it."""
    return Response(adapter.dump_json(value), status, headers, "application/json")


def tagged(response: Response, row: Any, *, location: str | None = None) -> Any:
    """`row` as the body of the answer, with its ETag and, for a new one, the place where it is."""
    response.headers["ETag"] = etag(row.version)
    if location is not None:
        response.headers["Location"] = location
    return row


def unless_known(response: Response, row: Any, if_none_match: str | None) -> Any:
    """`row` (a mapping or a model) with its ETag, or 304 where the client has this version already."""
    version = row["version"] if isinstance(row, Mapping) else row.version
    tag = {"ETag": etag(version)}
    if not_modified(if_none_match, version):
        return Response(status_code=304, headers=tag)
    response.headers.update(tag)
    return row
