"""JSON bodies, parsed once and strictly before any model sees them (RFC 8259)."""

from __future__ import annotations

import email.message
import json
import math
from typing import Any, NoReturn

from app.kit.errors import BadRequest, UnsupportedMediaType

MAX_DEPTH = 20
MAX_KEYS = 10_000
_CONTAINERS = (dict, list)


class InvalidJson(BadRequest):
    code, title = "invalid_json", "The body is not valid JSON"


class JsonTooComplex(BadRequest):
    code, title = "json_too_complex", "The body is nested too deeply or has too many keys"


class DuplicateKey(BadRequest):
    code, title = "duplicate_key", "An object in the body has the same key twice"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise DuplicateKey
    return made


def _not_a_number(_: str) -> NoReturn:
    raise InvalidJson("JSON has neither NaN nor Infinity")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidJson("A number is out of range")
    return number


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_not_a_number, parse_float=_finite)


def parse_json(body: bytes, content_type: str = "application/json") -> Any:
    """The body's value.

    Raises UnsupportedMediaType for a charset other than UTF-8 (RFC 8259 8.1 knows no other), InvalidJson (also for NaN,
    infinities and bytes that are not UTF-8; a byte order mark is not JSON), DuplicateKey, or JsonTooComplex beyond 20
    levels or 10,000 keys. Lone surrogates pass: text fields refuse them with a pointer.
    """
    if ";" in content_type and _charset_of(content_type) not in {None, "utf-8"}:
        raise UnsupportedMediaType("JSON is sent as UTF-8")
    try:
        value = _decoder.decode(body.decode())
    except RecursionError:
        raise JsonTooComplex from None
    except ValueError as error:
        # No part of the body is repeated, only where it went wrong.
        position = getattr(error, "pos", None)
        raise InvalidJson(None if position is None else f"The body is not valid JSON at character {position}") from None
    _refuse_complex(value)
    return value


def _charset_of(content_type: str) -> str | None:
    message = email.message.Message()
    message["content-type"] = content_type
    return message.get_content_charset()


def _refuse_complex(value: Any) -> None:
    level = [value] if isinstance(value, _CONTAINERS) else []
    keys = 0
    for _ in range(MAX_DEPTH):
        if not level:
            return
        below: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                keys += len(container)
                children: Any = container.values()
            else:
                children = container
            below += [child for child in children if isinstance(child, _CONTAINERS)]
        if keys > MAX_KEYS:
            raise JsonTooComplex
        level = below
    if level:
        raise JsonTooComplex
