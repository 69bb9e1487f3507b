"""JSON files: one document, read with care, and soft access to what foreign products put into it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from app.transfer.errors import WrongFileFormat
from app.transfer.parsing import text

if TYPE_CHECKING:
    from typing import BinaryIO

    from app.transfer.parsing.journal import Journal


def loaded(file: BinaryIO, journal: Journal) -> Any:
    """The document. Lone surrogates stay in its texts, so that only their item is an error. Raises `FileRejected`."""
    with text.opened(file, journal) as stream:
        try:
            return json.loads(stream.read().removeprefix("\ufeff"), parse_constant=_refuse)
        except RecursionError:
            raise WrongFileFormat("The JSON is nested too deeply.") from None
        except ValueError as error:
            raise WrongFileFormat(f"The file is not valid JSON{_where(error)}.") from None


def _refuse(_constant: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are no JSON


def _where(error: ValueError) -> str:
    return f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""


def texts(record: Any, name: str) -> str:
    """The member as text: a number is written out, anything else is an empty text."""
    value = record.get(name) if isinstance(record, dict) else None
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def records(record: Any, name: str) -> list[dict[str, Any]]:
    """The member's objects; what is no list of objects counts as none."""
    value = record.get(name) if isinstance(record, dict) else None
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def names(record: Any, name: str) -> list[str]:
    """The member's texts."""
    value = record.get(name) if isinstance(record, dict) else None
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def number(record: Any, name: str) -> float | None:
    value = record.get(name) if isinstance(record, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
