"""Dependencies that take nothing but the request: the caller, its unit of work, a query, a part of the app.

FastAPI's solver looks for parameters in path, query, headers and cookies for each dependency of each request, which is
a third of what it does for a read. These have none, so the route calls them itself, in the order they are declared and
before a body is read: a stranger's is not even looked at.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi.dependencies.models import Dependant
    from starlette.requests import Request

    _Call = Callable[..., Awaitable[Any]]

_RESOLVED = "taskapi.parts"
_MORE = (
    "path_params", "query_params", "header_params", "cookie_params", "body_params", "response_param_name",
    "background_tasks_param_name", "security_scopes_param_name", "http_connection_param_name",
)  # fmt: skip
"""What else a dependency may take, by FastAPI's names."""


def only(endpoint: Dependant) -> bool:
    """Whether everything that the endpoint depends on is of this kind."""
    return inspect.iscoroutinefunction(endpoint.call) and all(map(_is_part, endpoint.dependencies))


def without(endpoint: Dependant) -> Dependant:
    """The endpoint as FastAPI is to see it: it has its own parameters left."""
    name = endpoint.request_param_name or "the_request"
    call = _with_parts(cast("_Call", endpoint.call), name, keep=endpoint.request_param_name is not None)
    return replace(endpoint, dependencies=[], call=call, request_param_name=name)


async def resolve(endpoint: Dependant, request: Request) -> None:
    """Calls them all, each once. Raises what they raise."""
    known: dict[_Call, Any] = {}
    values = {part.name: await _value(part, request, known) for part in endpoint.dependencies}
    values.pop(None, None)  # of those that are there for what they refuse
    request.scope[_RESOLVED] = values


def _is_part(dependant: Dependant) -> bool:
    takes_more = any(getattr(dependant, name) for name in _MORE)
    awaited = any(map(inspect.iscoroutinefunction, (dependant.call, type(dependant.call).__call__)))
    return not takes_more and awaited and all(map(_is_part, dependant.dependencies))


async def _value(part: Dependant, request: Request, known: dict[_Call, Any]) -> Any:
    call = cast("_Call", part.call)
    if call not in known:
        values: dict[Any, Any] = {below.name: await _value(below, request, known) for below in part.dependencies}
        if part.request_param_name is not None:
            values[part.request_param_name] = request
        known[call] = await call(**values)
    return known[call]


def _with_parts(endpoint: _Call, name: str, *, keep: bool) -> _Call:
    async def call(**values: Any) -> Any:
        request: Request = values[name] if keep else values.pop(name)
        return await endpoint(**values, **request.scope[_RESOLVED])

    return call
