"""Subtasks and their parents, in whatever order a file has them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from app.transfer.model import ParsedTask, Place
    from app.transfer.parsing.journal import Journal

_MESSAGES = {
    "parent_missing": "The parent of a subtask did not come in or is not in the file; it became a task of its own.",
    "parent_circle": "Tasks are parents of each other in a circle; it was cut.",
}


def planted(
    tasks: Iterable[ParsedTask], journal: Journal, place_of: Callable[[ParsedTask], Place]
) -> tuple[ParsedTask, ...]:
    """`tasks` with every parent before its children and siblings in their given order. Refs must be unique.

    The link to a parent that is not among them is cut, and so is one link of every circle, with a warning.
    """
    by_ref = {task.ref: task for task in tasks}
    for ref, code in _impossible(by_ref):
        journal.warn(place_of(by_ref[ref]), code, _MESSAGES[code])
        by_ref[ref] = replace(by_ref[ref], parent=None)
    children: dict[str | None, list[ParsedTask]] = defaultdict(list)
    for task in by_ref.values():
        children[task.parent].append(task)
    ordered: list[ParsedTask] = []
    waiting = children[None][::-1]
    while waiting:
        task = waiting.pop()
        ordered.append(task)
        waiting.extend(reversed(children.get(task.ref, ())))
    return tuple(ordered)


def _impossible(by_ref: Mapping[str, ParsedTask]) -> list[tuple[str, str]]:
    """Refs of tasks whose link must be cut, with the code of the reason."""
    found: list[tuple[str, str]] = []
    seen: dict[str, str] = {}
    for start in by_ref:
        ref: str | None = start
        while ref is not None and ref not in seen:
            seen[ref] = start
            parent = by_ref[ref].parent
            if parent is not None and parent not in by_ref:
                found.append((ref, "parent_missing"))
            elif parent is not None and seen.get(parent) == start:
                found.append((ref, "parent_circle"))
            ref = parent if parent in by_ref else None
    return found
