"""What holds for every route of the product, whatever its room."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import Match

from app.infra.work import Work
from app.kit.errors import AppError, FieldProblem, InvalidInput, Unavailable
from app.web import idempotency, parts
from app.web.body import parse_json
from app.web.query import SentQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi.dependencies.models import Dependant
    from starlette.datastructures import FormData
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope

BODY_SECONDS = 30.0
"""How long a body may take to arrive; without limit where an endpoint has no deadline."""
_WITH_BODY = frozenset({"POST", "PATCH", "PUT", "DELETE"})
Endpoint = TypeVar("Endpoint", bound="Callable[..., Any]")


class RequestTimeout(AppError):
    code, status, title = "request_timeout", 408, "The request did not arrive in time"

    def __init__(self) -> None:
        super().__init__(headers={"Connection": "close"})  # what else may come is not the next request


def no_deadline(endpoint: Endpoint) -> Endpoint:
    """Lifts the database deadline from an endpoint whose work is known to take longer (bulk, import, export)."""
    endpoint.__no_deadline__ = True  # type: ignore[attr-defined]
    return endpoint


def never_replayed(endpoint: Endpoint) -> Endpoint:
    """`Idempotency-Key` has no effect here and nothing is stored: below /auth, and where an answer shows a secret."""
    endpoint.__never_replayed__ = True  # type: ignore[attr-defined]
    return endpoint


class _StrictRequest(Request):
    """A request whose body is read strictly, before any model sees it."""

    async def json(self) -> Any:
        return parse_json(await self.body(), self.headers["content-type"])

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]  # it is awaited only
        """Of a repeated field the models would see the last value alone, and the others would be dropped in silence."""
        form = await super().form(**limits)
        times = Counter(name for name, _ in form.multi_items())
        repeated = [name for name, count in times.items() if count > 1]
        if repeated:
            await form.close()
            problems = [
                FieldProblem(f"/{name[:64]}", "repeated_field", "This field may be given only once")
                for name in repeated[:20]
            ]
            raise InvalidInput("A field of the form was sent more than once", errors=problems)
        return form


class Route(APIRoute):
    """Refuses query parameters that the endpoint does not know, serves `Idempotency-Key`, and makes the request one
    unit of work: its transaction, if there is one, commits when the handler returned and before the answer leaves.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        # The name of the function: readable, and unique in the product (a test sees to it).
        options["operation_id"] = options.get("operation_id") or endpoint.__name__
        super().__init__(path, endpoint, **options)
        self._beginning = path.partition("{")[0]
        queries = [one.call for one in self.dependant.dependencies if isinstance(one.call, SentQuery)]
        if queries:
            self.openapi_extra = {"parameters": [*queries[0].parameters()], **(self.openapi_extra or {})}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """A path that begins otherwise costs one comparison, and not a regular expression for each of the routes."""
        return super().matches(scope) if scope["path"].startswith(self._beginning) else (Match.NONE, {})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = self._handler()
        single, repeatable = _query_parameters(self.dependant)
        bounded = not getattr(self.endpoint, "__no_deadline__", False)
        writes = bool((self.methods or set()) & {"POST", "PATCH"})
        replayable = writes and not getattr(self.endpoint, "__never_replayed__", False)

        async def run(request: Request) -> Response:
            replay = idempotency.read(request) if replayable else None
            if replay is None:
                return await handle(request)
            request.scope["taskapi.idempotency"] = replay
            try:
                response = await handle(request)
            except idempotency.Replay as found:
                return found.answer()
            await idempotency.store(replay, response)
            return response

        async def checked(request: Request) -> Response:
            deadline = asyncio.timeout(request.app.state.settings.database_deadline if bounded else None)
            if request.method in _WITH_BODY:
                receive = _outside(deadline, request.receive) if bounded else request.receive
                request = _StrictRequest(request.scope, receive)
            if request.scope["query_string"]:
                _refuse_unknown(request, single, repeatable)
            work = request.scope["taskapi.work"] = Work(request.app.state.database)
            try:
                async with deadline:
                    response = await run(request)
                    await work.end(commit=True)
                    return response
            except TimeoutError:
                if not deadline.expired():
                    raise
                raise Unavailable("The database did not answer in time; nothing is known to have changed") from None
            finally:
                await request.close()  # the uploads of a form
                await _undo(work, deadline.when())

        return checked

    def _handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with the parts of the request (`web/parts.py`) resolved before it."""
        declared = self.dependant
        if not parts.only(declared):
            return super().get_route_handler()
        bare = copy(self)  # this one's dependant is what the OpenAPI document tells
        bare.dependant = parts.without(declared)
        handle = super(Route, bare).get_route_handler()

        async def run(request: Request) -> Response:
            await parts.resolve(declared, request)
            return await handle(request)

        return run


def _outside(deadline: asyncio.Timeout, receive: Receive) -> Receive:
    """Waits for the client, who has `BODY_SECONDS` for all of the body, with the database's deadline standing still."""
    loop = asyncio.get_running_loop()
    all_by = loop.time() + BODY_SECONDS

    async def wait() -> Message:
        left = cast("float", deadline.when()) - loop.time()
        deadline.reschedule(None)
        try:
            async with asyncio.timeout_at(all_by):
                return await receive()
        except TimeoutError:
            raise RequestTimeout from None
        finally:
            deadline.reschedule(loop.time() + left)

    return wait


async def _undo(work: Work, until: float | None) -> None:
    """What was not committed. Past the deadline this is given up too: the session then drops its connection."""
    if work.open:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await work.end(commit=False)


def _query_parameters(dependant: Dependant) -> tuple[frozenset[str], frozenset[str]]:
    single: set[str] = set()
    repeatable: set[str] = set()
    waiting = [dependant]
    while waiting:
        one = waiting.pop()
        waiting.extend(one.dependencies)
        known = [pair for field in one.query_params for pair in _names_of(field.alias, field.field_info.annotation)]
        if isinstance(one.call, SentQuery):
            known += _names_of("", one.call.model)
        for name, annotation in known:
            (repeatable if "list" in str(annotation) else single).add(name)
    return frozenset(single), frozenset(repeatable)


def _names_of(alias: str, annotation: Any) -> list[tuple[str, Any]]:
    fields = getattr(annotation, "model_fields", None)
    if fields is None:
        return [(alias, annotation)]
    return [(info.alias or name, info.annotation) for name, info in fields.items()]


def _refuse_unknown(request: Request, single: frozenset[str], repeatable: frozenset[str]) -> None:
    problems = []
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in single and name not in repeatable:
            known = ", ".join(sorted(single | repeatable)) or "none"
            problems.append(FieldProblem("?", "unknown_parameter", f"Unknown query parameter; known here: {known}"))
        elif name in seen and name in single:
            problems.append(FieldProblem(f"?{name}", "repeated_parameter", "This parameter may be given only once"))
        seen.add(name)
    if problems:
        raise InvalidInput("The query has parameters that are not served here", errors=problems[:20])
