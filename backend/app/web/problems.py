"""The one shape of every error: problem+json (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

if TYPE_CHECKING:
    from app.kit.errors import AppError, FieldProblem

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_BYTES = 4096
_TYPE = "urn:task-management-api:problem:"


class FieldProblemOut(BaseModel):
    """What is wrong with one part of the input."""

    pointer: str = Field(
        description="A JSON pointer (RFC 6901) into the body, `?name` for a query parameter, `name:` for a header."
    )
    code: str = Field(description="Stable, snake_case.")
    message: str = Field(description="What would be right; never a copy of what was sent.")


class Problem(BaseModel):
    """Why a request was not served."""

    type: str = Field(description="A stable URN made of the code.")
    title: str = Field(description="What went wrong, the same for every occurrence of the code.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str = Field(description="What went wrong this time.")
    code: str = Field(description="Stable, snake_case; the one field to branch on.")
    request_id: str = Field(description="Also in the header `X-Request-ID`; name it when you report a problem.")
    errors: list[FieldProblemOut] | None = Field(None, description="For 422: each part of the input that is wrong.")


def content(error: AppError, request_id: str) -> dict[str, Any]:
    """The problem as it is sent."""
    problem: dict[str, Any] = {
        "type": _TYPE + error.code,
        "title": error.title,
        "status": error.status,
        "detail": _clip(error.detail, 500),
        "code": error.code,
        "request_id": request_id,
    }
    if error.errors:
        problem["errors"] = _bounded(error.errors)
    return problem


def render(error: AppError, request_id: str) -> Response:
    """The answer for an error: at most 4 kB, whatever the input was."""
    return Response(to_json(content(error, request_id)), error.status, error.headers, MEDIA_TYPE)


def _bounded(errors: tuple[FieldProblem, ...]) -> list[dict[str, str]]:
    room = MAX_BYTES - 1024  # for the members around the list
    fitting = []
    for error in errors[:MAX_ERRORS]:
        entry = {"pointer": _clip(error.pointer, 300), "code": error.code, "message": _clip(error.message, 300)}
        room -= len(to_json(entry)) + 1
        if room < 0:
            break
        fitting.append(entry)
    return fitting


def _clip(text: str, length: int) -> str:
    # A pointer names fields, also such as a client made up: lone surrogates cannot be written as UTF-8.
    return text[:length].encode(errors="replace").decode()
