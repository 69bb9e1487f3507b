"""Every route keeps the contract: the document says so, and a departure fails here."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import jsonschema_rs
import pytest

from app.core.app_factory import create_app
from app.infra.settings import Settings

DOCUMENT = create_app(Settings(secret_key="x" * 32, _env_file=None)).openapi()
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method.upper()} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
each_operation = pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)

SINGULAR = {
    "auth",
    "login",
    "logout",
    "logout-all",
    "register",
    "refresh",
    "me",
    "password",
    "health",
    "trash",
    "history",
    "usage",
    "result",
    "admin",
    "content",
}
ACTIONS = {
    "restore",
    "archive",
    "unarchive",
    "complete",
    "reopen",
    "cancel",
    "retry",
    "trigger",
    "pause",
    "resume",
    "preview",
    "discard",
    "run",
    "bulk",
    "import",
    "export",
}
PROBES = {"live", "ready", "startup", "detailed"}
PUBLIC = {"/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"} | {
    "/health", "/health/live", "/health/ready", "/health/startup",
}  # fmt: skip


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def is_valid(schema: dict[str, Any], value: Any) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema_rs.is_valid(whole, value, validate_formats=True)


def test_operation_ids_are_unique() -> None:
    ids = Counter(operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values())
    assert [name for name, count in ids.items() if count > 1] == []


@each_operation
def test_an_operation_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert not operation["summary"].endswith(".")


@each_operation
def test_paths_are_plural_nouns_with_typed_ids(path: str, method: str, operation: dict[str, Any]) -> None:
    for part in path.strip("/").split("/"):
        if part.startswith("{"):
            continue
        assert part.endswith("s") or part in SINGULAR | ACTIONS | PROBES, part
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and "enum" not in parameter["schema"]:
            assert parameter["name"].endswith("_id")
            assert parameter["schema"]["format"] == "uuid"


@each_operation
def test_an_operation_says_who_may_use_it(path: str, method: str, operation: dict[str, Any]) -> None:
    assert (operation["security"] == []) == (path in PUBLIC)
    for alternative in operation["security"]:
        assert set(alternative) <= set(DOCUMENT["components"]["securitySchemes"])
    assert ("401" in operation["responses"]) or path in PUBLIC


@each_operation
def test_every_answer_is_declared_with_its_headers(path: str, method: str, operation: dict[str, Any]) -> None:
    assert "default" in operation["responses"]
    for status, answer in operation["responses"].items():
        response = resolved(answer)
        assert "X-Request-ID" in response["headers"], status
        if status == "201":
            assert {"Location", "ETag"} <= set(response["headers"])
        if status == "202":
            assert "Location" in response["headers"]
        if status in {"429", "503"} and "application/problem+json" in response.get("content", {}):
            assert "Retry-After" in response["headers"]


@each_operation
def test_errors_are_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        if status != "default" and status < "400":
            continue
        media = resolved(answer)["content"]
        if path.startswith("/health") and status == "503" and "application/json" in media:
            continue  # a probe's answer has one shape, whatever the news
        assert set(media) == {"application/problem+json"}, status


@each_operation
def test_bodies_have_examples_that_are_valid(path: str, method: str, operation: dict[str, Any]) -> None:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    bodies += [resolved(answer) for answer in operation["responses"].values()]
    for body in bodies:
        for media, content in body.get("content", {}).items():
            if media in {"multipart/form-data", "application/openmetrics-text; version=1.0.0; charset=utf-8"}:
                continue
            assert "example" in content or "examples" in content, media
            examples = (
                [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]
            )
            for example in examples:
                assert is_valid(content["schema"], example), (media, json.dumps(example))


@each_operation
def test_bodies_refuse_unknown_fields(path: str, method: str, operation: dict[str, Any]) -> None:
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        if media == "application/json":
            assert resolved(content["schema"]).get("additionalProperties") is False


def test_deleting_answers_204_and_creating_201() -> None:
    for item in DOCUMENT["paths"].values():
        if "delete" in item:
            assert "204" in item["delete"]["responses"]


def test_parameters_and_forms_have_no_null() -> None:
    schemas = [
        one["schema"] for item in DOCUMENT["paths"].values() for op in item.values() for one in op.get("parameters", ())
    ]
    schemas += DOCUMENT["components"]["schemas"]["ImportForm"]["properties"].values()
    assert '"null"' not in json.dumps(schemas)


def test_how_many_items_a_page_may_hold_is_declared() -> None:
    for item in DOCUMENT["paths"].values():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["name"] == "limit":
                assert (parameter["schema"]["minimum"], parameter["schema"]["maximum"]) == (1, 100)
