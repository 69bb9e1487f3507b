"""The operations of the app, found in its routes; what they take, found in its document."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from fastapi.routing import iter_route_contexts

from app.core.app_factory import create_app
from app.infra.settings import Settings

APP = create_app(Settings(secret_key="x" * 32, _env_file=None))
DOCUMENT = APP.openapi()
PAGES = {"/docs", "/redoc", "/docs/docs.js", "/docs/docs.css", "/openapi.json"}
"""Served beside the product; an operator may switch them off."""
PUBLIC = {
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/startup",
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",  # the refresh token in its body is what it asks for
    "POST /auth/logout",
}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def description(self) -> dict[str, Any]:
        return dict(DOCUMENT["paths"][self.path][self.method.lower()])

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return list(self.description.get("parameters", ()))

    @property
    def ids(self) -> list[str]:
        return [one["name"] for one in self._in_path if one["schema"].get("format") == "uuid"]

    @property
    def words(self) -> dict[str, str]:
        """What else its path names, and one value of each."""
        others = [one for one in self._in_path if one["name"] not in self.ids]
        return {one["name"]: resolved(one["schema"])["enum"][0] for one in others}

    @property
    def _in_path(self) -> list[dict[str, Any]]:
        return [one for one in self.parameters if one["in"] == "path"]

    def takes(self, media: str) -> bool:
        return media in self.description.get("requestBody", {}).get("content", {})

    @property
    def example(self) -> Any:
        """The body of the document, ours to change; None where the operation takes no JSON."""
        content = self.description.get("requestBody", {}).get("content", {})
        return copy.deepcopy(content["application/json"]["example"]) if "application/json" in content else None

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The schemas of the body's fields."""
        ((_, content),) = self.description["requestBody"]["content"].items()
        return dict(resolved(content["schema"])["properties"])


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What a field may be, apart from null."""
    return [resolved(one) for one in schema.get("anyOf", [schema]) if one != {"type": "null"}]


def _found() -> list[Operation]:
    routes = [one for one in iter_route_contexts(APP.routes) if one.path_format not in PAGES]
    return [
        Operation(method, one.path_format) for one in routes for method in sorted((one.methods or set()) - {"HEAD"})
    ]


OPERATIONS = _found()
