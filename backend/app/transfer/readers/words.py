"""States and priorities in the words of other products."""

from __future__ import annotations

import re

from app.transfer.model import Priority, Status


def _by_word(table: dict[str, str]) -> dict[str, str]:
    return {word: meaning for meaning, words in table.items() for word in words.split()}


_STATUSES = _by_word(
    {
        "todo": "todo open new backlog notstarted needsaction pending incomplete reopened planned ready unstarted false no 0 "
        "offen triage selectedfordevelopment normal uncompleted unchecked",
        "in_progress": "inprogress inprocess doing started active wip inreview review ongoing testing inarbeit",
        "blocked": "blocked waiting onhold hold paused waitingonsomeoneelse deferred",
        "done": "done complete completed closed resolved finished merged fixed true yes x 1 checked erledigt shipped",
        "cancelled": "cancelled canceled wontdo wontfix rejected abandoned duplicate notplanned declined dropped",
    }
)
_PRIORITIES = _by_word(
    {
        "none": "none no nopriority unset",
        "low": "low lower lowest minor trivial p4 niedrig",
        "medium": "medium normal moderate major p3 mittel standard",
        "high": "high higher important p2 hoch",
        "urgent": "urgent highest critical blocker immediate p0 p1 dringend asap",
    }
)


def status_of(word: str) -> Status | None:
    return _STATUSES.get(_plain(word))  # type: ignore[return-value]


def priority_of(word: str) -> Priority | None:
    """By words only: the numbers of one product mean the opposite in another."""
    return _PRIORITIES.get(_plain(word))  # type: ignore[return-value]


def _plain(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())
