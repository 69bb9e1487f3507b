"""The one boundary that turns whatever was raised into an answer, and cannot fail itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.infra.database import is_lost_or_busy
from app.kit.errors import (
    AppError,
    BadRequest,
    Conflict,
    FieldProblem,
    InvalidInput,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from app.web import problems
from app.web.body import InvalidJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

log = structlog.get_logger()

_FAMILIES: tuple[type[AppError], ...] = (
    BadRequest,
    PermissionDenied,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    PayloadTooLarge,
    UnsupportedMediaType,
    InvalidInput,
)
_BY_STATUS = {family.status: family for family in _FAMILIES}
_JSON_TYPES = ("application/json", "application/merge-patch+json")
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_CANNOT_STORE = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, UnicodeError, OverflowError)
"""What the input can provoke below the models: a value that PostgreSQL or an encoding has no room for."""
_EXPECTED = (
    AppError,
    HTTPException,
    RequestValidationError,
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    RecursionError,
    *_CANNOT_STORE,
)
_ANSWER_OF_LAST_RESORT = b'{"type":"about:blank","title":"Internal server error","status":500}'


def install(app: FastAPI) -> None:
    """Makes `answer` the handler of what is expected; FastAPI's own handlers echo what was sent.

    Whatever else is raised reaches `HttpMiddleware`, which asks `answer` as well.
    """

    async def handle(request: Request, error: Exception) -> Response:
        return answer(request, error)

    for kind in _EXPECTED:
        app.add_exception_handler(kind, handle)


def answer(request: Request, error: Exception) -> Response:
    """The problem for an exception; logged where it is our fault or that of what we depend on."""
    try:
        known = _translate(request, error)
        _report(known, error)
        state = request.scope.get("state", {})
        response = problems.render(known, state.get("request_id", ""))
        # What a dependency has to say on refusals too: what is left of a rate limit.
        response.headers.update(state.get("answer_headers", {}))
    except Exception:
        log.exception("error_not_rendered")
        response = Response(_ANSWER_OF_LAST_RESORT, 500, media_type=problems.MEDIA_TYPE)
    return response


def _report(known: AppError, error: Exception) -> None:
    if type(known) is AppError:
        log.error("request_failed", exc_info=error)
    elif error is not known and isinstance(known, Conflict):
        log.warning("dependency_trouble", code=known.code, error=type(error).__name__, exc_info=error)
    elif error is not known and isinstance(known, Unavailable):
        # Without a traceback: it takes 7 ms to write, and these come by the hundred just when there is no time left.
        log.warning("dependency_trouble", code=known.code, error=type(error).__name__, reason=str(error)[:200])


def _translate(request: Request, error: Exception) -> AppError:  # noqa: PLR0911  one line for each family
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestValidationError):
        return _validation(request, error)
    if isinstance(error, HTTPException):
        return _http(request, error)
    if is_lost_or_busy(error):
        return Unavailable("The database did not answer in time; try again")
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        # SQLAlchemy wraps its dialect's wrapping of what the driver raised.
        return _translate(request, error.orig.__cause__ if isinstance(error.orig.__cause__, Exception) else error.orig)
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return Conflict("Another request has changed something that this one builds on")
    if isinstance(error, RecursionError):
        return BadRequest("The input is nested too deeply")
    if isinstance(error, _CANNOT_STORE):
        return InvalidInput("The input holds a value that cannot be stored")
    return AppError()


def _http(request: Request, error: HTTPException) -> AppError:
    if isinstance(error.__cause__, AppError):
        # FastAPI takes an error of reading the body for a malformed one; it is ours.
        return error.__cause__
    headers = dict(error.headers or {})
    if error.status_code == MethodNotAllowed.status:
        return MethodNotAllowed(headers={**headers, "Allow": ", ".join(_methods_at(request))})
    if error.status_code == Unauthenticated.status:
        return Unauthenticated()
    family = _BY_STATUS.get(error.status_code)
    return family(headers=headers) if family is not None else AppError()


def _methods_at(request: Request) -> list[str]:
    """All methods of a path. A router names those of the first route that matches only."""
    methods: set[str] = set()
    for context in iter_route_contexts(request.app.routes):
        route: Any = context.original_route
        if route.path_regex.fullmatch(request.scope["path"]):
            methods |= set(route.methods)
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


def _validation(request: Request, error: RequestValidationError) -> AppError:
    found = error.errors()
    first = found[0]
    places = {entry["loc"][0] for entry in found}
    if "path" in places:
        return NotFound()
    if first["type"] == "json_invalid":
        return InvalidJson()
    if "body" in places and (wanted := _other_media_type(request, error.body)) is not None:
        return UnsupportedMediaType(f"Send the body as {wanted}")
    entries = [_field_problem(entry, error.body) for entry in found[: problems.MAX_ERRORS]]
    detail = "1 part of the input must change" if len(found) == 1 else f"{len(found)} parts of the input must change"
    return InvalidInput(detail, errors=entries)


def _other_media_type(request: Request, body: object) -> str | None:
    """What the body should have been sent as, where it was sent as something else."""
    if isinstance(body, bytes):
        # FastAPI hands on, unparsed, what was not sent as JSON.
        return _JSON_TYPES[request.method == "PATCH"]
    if isinstance(body, FormData) and not request.headers.get("content-type", "").startswith(_FORM_TYPES):
        return " or ".join(_FORM_TYPES)
    return None


def _field_problem(entry: dict[str, Any], body: object) -> FieldProblem:
    place, *path = entry["loc"]
    if place == "query":
        pointer = "?" + "/".join(map(str, path))
    elif place == "body":
        pointer = _pointer(path, body, missing=entry["type"] == "missing")
    else:
        pointer = "/".join(map(str, path)) + ":"
    return FieldProblem(pointer, entry["type"], _message(entry))


def _pointer(path: Sequence[str | int], body: object, *, missing: bool) -> str:
    """The path as a JSON pointer, without the steps that are pydantic's own (the branches of a union, validators)."""
    tokens: list[str] = []
    here: Any = body
    for position, step in enumerate(path):
        if _has(here, step):
            here = here[step]
        elif not (missing and position == len(path) - 1):
            continue
        tokens.append(str(step)[:64].replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{token}" for token in tokens)


def _has(container: Any, step: str | int) -> bool:
    if isinstance(container, list):
        return isinstance(step, int) and 0 <= step < len(container)
    try:
        return step in container
    except TypeError:
        return False


def _message(entry: dict[str, Any]) -> str:
    """What would be right. Where pydantic quotes the input, its message ends before the quotation."""
    context = entry.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, ValueError):
        return str(cause)
    if "tag" in context:
        return f"Must be one of {context.get('expected_tags', 'the documented ones')}"
    message = str(entry["msg"])
    if cause is not None or "reason" in context:
        return re.split("[,:]", message, maxsplit=1)[0]
    return message
