from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import to_json

from app.kit.schema import rfc3339
from app.transfer.own import FORMAT, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class JsonWriter:
    """One object; `tasks` is its last member, a task a line."""

    media_type: ClassVar[str] = "application/json"
    ending: ClassVar[str] = "json"

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._separator = b""

    def begin(self) -> bytes:
        head = to_json({"format": FORMAT, "version": VERSION, "exported_at": rfc3339(self._now)})
        return head[:-1] + b',"tasks":[\n'

    def task(self, task: Mapping[str, Any]) -> bytes:
        separator, self._separator = self._separator, b",\n"
        # What todo.txt is told of a parent, the parent_id of the subtask says here.
        return separator + to_json(task, exclude={"has_subtasks"})

    def end(self) -> bytes:
        return b"\n]}\n"
