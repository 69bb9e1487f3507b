"""The OpenAPI document: what operations have in common is declared once, here, by rule."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from app.kit import errors
from app.kit.errors import AppError, FieldProblem
from app.web.problems import MEDIA_TYPE, FieldProblemOut, Problem, content

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

DESCRIPTION = """\
Tasks, projects and durable background jobs for teams.

Sign in with `POST /auth/login` and send the access token as `Authorization: Bearer ...`. The title alone is enough for
a first task: `POST /tasks {"title": "Buy milk"}`.

Times are RFC 3339 in UTC. Lists come in pages: follow `next_cursor` until it is null. `PATCH` touches only the fields
that are sent. Every editable resource has an `ETag`: send it as `If-Match` and a change that would overwrite somebody
else's is refused with 412.

Send an `Idempotency-Key` (1 to 255 visible characters, a UUID say) with `POST` and `PATCH`, and a retry never happens
twice: for 24 hours it is answered with what the first one was, marked `Idempotency-Replayed: true`.

Errors are `application/problem+json`; branch on `code`. Every answer has an `X-Request-ID`: name it when you report a
problem.
"""
TAGS = [
    {"name": "auth", "description": "Registering, signing in, and the sessions of an account."},
    {
        "name": "tasks",
        "description": "A user's to-do items, their comments, attachments and history, one by one or many at once.",
    },
    {"name": "import and export", "description": "Whole task lists, from other products and to them."},
    {"name": "projects", "description": "What tasks belong to, and the sections of it."},
    {"name": "labels", "description": "Words that tasks are marked with."},
    {"name": "reports", "description": "What came, what was done, what is late: figures and charts as a file."},
    {"name": "usage", "description": "What a workspace uses, by the month."},
    {"name": "jobs", "description": "Work in the background: how far it is, what came of it."},
    {"name": "mail", "description": "One message to many people. For superusers."},
    {"name": "schedules", "description": "Rules that enqueue jobs over time, and what became of each slot."},
    {"name": "operations", "description": "All jobs, queues and workers, for superusers."},
    {"name": "health", "description": "Probes for machines, figures for operators."},
]
_ID = "01981f6e-5a3c-7d2e-9a41-3f6f0c9d8b21"
_REQUEST_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
_EXAMPLES = {"uuid": _ID, "date-time": "2026-05-04T09:30:00Z", "email": "ada@example.com", "date": "2026-05-04"}
_HEADERS = {
    "X-Request-ID": "The request's own `X-Request-ID` where it had a valid one, else a new id.",
    "ETag": "The version of the resource, for `If-Match` and `If-None-Match`.",
    "Location": "Where the new resource is.",
    "Retry-After": "Seconds to wait before trying again.",
    "WWW-Authenticate": "How to authenticate (RFC 6750).",
}
_PROBLEMS: tuple[AppError, ...] = (
    errors.BadRequest(),
    errors.Unauthenticated(),
    errors.PermissionDenied(),
    errors.NotFound(),
    errors.Conflict(),
    errors.PreconditionFailed(),
    errors.PayloadTooLarge(),
    errors.UnsupportedMediaType(),
    errors.InvalidInput(
        "1 part of the input must change", errors=[FieldProblem("/title", "missing", "Field required")]
    ),
    errors.PreconditionRequired(),
    errors.RateLimited(retry_after=30),
    errors.Unavailable(),
)
_HEADERS_OF_PROBLEM = {401: "WWW-Authenticate", 412: "ETag", 429: "Retry-After", 503: "Retry-After"}
_WRITES = {"post", "patch"}
_DEEPEST_EXAMPLE = 6
"""A schema may contain itself."""
_DONE = {"200": "Done", "201": "Created", "202": "Accepted: the job says how far the work is", "204": "Done"}
_FASTAPI_SAYS = "Successful Response"


def install(app: FastAPI) -> None:
    app.openapi = partial(_document, app)  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            servers=app.servers,
        )
        components = document.setdefault("components", {})
        _declare_common(components)
        _restore_nulls(components["schemas"])
        for path, method, operation in _operations(document):
            _complete(path, method, operation, components["schemas"])
            _remove_nulls(operation, components["schemas"])
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _declare_common(components: dict[str, Any]) -> None:
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for model in (Problem, FieldProblemOut):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    components["headers"] = {
        name: {"description": description, "schema": {"type": "string"}} for name, description in _HEADERS.items()
    }
    components["headers"]["X-Request-ID"]["required"] = True
    components["responses"] = {type(error).__name__: _problem_response(error) for error in _PROBLEMS}
    components["responses"]["AnyOther"] = _problem_response(AppError(), "Any other error")


def _restore_nulls(schemas: dict[str, Any]) -> None:
    """FastAPI leaves everything out that is null, also in examples, where a required null then is missing."""
    for schema in schemas.values():
        for example in schema.get("examples", ()):
            if isinstance(example, dict):
                example.update(dict.fromkeys(set(schema.get("required", ())) - set(example)))


def _remove_nulls(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Neither an address nor a form has a null: what is optional is left out there, or in a form left empty."""
    for parameter in operation.get("parameters", ()):
        _remove_null(parameter["schema"])
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        if media != "application/json":
            form = schemas[body["schema"]["$ref"].rsplit("/", 1)[1]]
            for name in set(form["properties"]) - set(form["required"]):
                field = form["properties"][name]
                _remove_null(field)
                told = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
                form["properties"][name] = {**told, "anyOf": [field, {"type": "string", "maxLength": 0}]}


def _remove_null(schema: dict[str, Any]) -> None:
    branches = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(branches) == 1:
        del schema["anyOf"]
        schema.update(branches[0])


def _problem_response(error: AppError, description: str | None = None) -> dict[str, Any]:
    headers = _headers("X-Request-ID")
    if error.status in _HEADERS_OF_PROBLEM:
        headers |= _headers(_HEADERS_OF_PROBLEM[error.status])
    return {"description": description or error.title, "headers": headers, "content": _problem_content(error)}


def _problem_content(error: AppError) -> dict[str, Any]:
    return {MEDIA_TYPE: {"schema": _ref("schemas", "Problem"), "example": content(error, _REQUEST_ID)}}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _headers(*names: str) -> dict[str, Any]:
    return {name: _ref("headers", name) for name in names}


def _complete(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Adds what holds by rule; what the route declares itself stays."""
    operation.setdefault("security", [])
    operation.setdefault("description", f"{operation['summary']}.")
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for error in _PROBLEMS:
        if _can_answer(error.status, path, method, operation):
            responses.setdefault(str(error.status), _ref("responses", type(error).__name__))
    responses["default"] = _ref("responses", "AnyOther")
    for status, response in responses.items():
        if "$ref" not in response:
            _complete_response(status, response, method, operation)
    _add_examples(operation, schemas)


def _can_answer(status: int, path: str, method: str, operation: dict[str, Any]) -> bool:
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    conditional = "If-Match" in names
    has_body = "requestBody" in operation
    return {
        400: has_body or method in _WRITES,
        401: bool(operation["security"]),
        403: bool(operation["security"]),
        404: "{" in path,
        409: method in _WRITES or conditional,
        412: conditional,
        413: has_body,
        415: has_body,
        422: True,  # unknown query parameters, on every route
        428: conditional,
        429: path.startswith("/auth/"),
        503: path != "/health/live",
    }[status]


def _complete_response(status: str, response: dict[str, Any], method: str, operation: dict[str, Any]) -> None:
    if response["description"] == _FASTAPI_SAYS:
        response["description"] = _DONE.get(status, _FASTAPI_SAYS)
    names = ["X-Request-ID"]
    if status in {"201", "202"}:
        names.append("Location")
    if status == "201" or (status in {"200", "304"} and _has_version(method, operation)):
        names.append("ETag")
    if status.isdigit() and int(status) in _HEADERS_OF_PROBLEM:
        names.append(_HEADERS_OF_PROBLEM[int(status)])
    response["headers"] = _headers(*names) | response.get("headers", {})
    if status >= "400" and _is_problem(response):
        known = next((error for error in _PROBLEMS if str(error.status) == status), AppError())
        response["content"] = _problem_content(known)


def _is_problem(response: dict[str, Any]) -> bool:
    # A route that names the model only leaves the media type to FastAPI, which takes it for JSON.
    media = response.get("content", {}).get("application/json")
    return "content" not in response or (media is not None and media["schema"] == _ref("schemas", "Problem"))


def _has_version(method: str, operation: dict[str, Any]) -> bool:
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    return method != "delete" and bool(names & {"If-Match", "If-None-Match"})


def _add_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    bodies = [(operation["requestBody"], True)] if "requestBody" in operation else []
    bodies += [(response, False) for response in operation["responses"].values() if "content" in response]
    for body, is_request in bodies:
        for media in body["content"].values():
            if "schema" in media and "example" not in media and "examples" not in media:
                media["example"] = _example(media["schema"], schemas, only_needed=is_request)


def _example(schema: dict[str, Any], schemas: dict[str, Any], *, only_needed: bool, depth: int = 0) -> Any:
    """The schema's own example, or one made of it. `only_needed` leaves optional fields without an example out."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    given = [schema[name][0] for name in ("examples", "enum") if schema.get(name)]
    given += [schema[name] for name in ("example", "const", "default") if name in schema]
    if given:
        return given[0]
    make = partial(_example, schemas=schemas, only_needed=only_needed, depth=depth + 1)
    branches = [one for one in schema.get("anyOf", schema.get("oneOf", ())) if one.get("type") != "null"]
    if branches:
        return make(branches[0])
    if "properties" in schema:
        wanted = schema["properties"].items()
        needed = schema.get("required", ())
        return {name: make(part) for name, part in wanted if not only_needed or name in needed or "examples" in part}
    if "items" in schema and depth < _DEEPEST_EXAMPLE:
        return [make(schema["items"])]
    plain = {"string": _EXAMPLES.get(schema.get("format", ""), "text"), "integer": schema.get("minimum", 1)}
    return {**plain, "number": 1.5, "boolean": True, "array": [], "object": {}}.get(schema.get("type", ""))
