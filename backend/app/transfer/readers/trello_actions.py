"""What a Trello board's log of actions says about its cards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from app.transfer.parsing.document import texts
from app.transfer.parsing.moments import as_start, read_moment

COMMENTS = {"commentCard", "copyCommentCard"}


class History:
    """`comments` are actions by card; the others tell when a card (or an item of a checklist) was made, done, put away."""

    def __init__(self, actions: list[dict[str, Any]]) -> None:
        self.comments: dict[str, list[dict[str, Any]]] = {}
        self.created: dict[str, datetime] = {}
        self.completed: dict[str, datetime] = {}
        self.closed: dict[str, datetime] = {}
        for action in sorted(actions, key=lambda action: texts(action, "date")):
            self._take(texts(action, "type"), action)

    def _take(self, kind: str, action: dict[str, Any]) -> None:
        data = action.get("data")
        card = _part(data, "card")
        ref = texts(card, "id") or texts(data, "idCard")
        if kind in COMMENTS:
            self.comments.setdefault(ref, []).append(action)
            return
        moment = read_moment(texts(action, "date"), UTC)
        if moment is None:
            return
        at = as_start(moment, UTC)
        if at is None:
            return
        if kind in {"createCard", "copyCard", "convertToCardFromCheckItem"}:
            self.created[ref] = at
        elif kind == "updateCard" and card.get("dueComplete") is True:
            self.completed[ref] = at
        elif kind == "updateCard" and card.get("closed") is True and "closed" in _part(data, "old"):
            self.closed[ref] = at
        elif kind == "updateCheckItemStateOnCard" and texts(_part(data, "checkItem"), "state") == "complete":
            self.completed[texts(_part(data, "checkItem"), "id")] = at


def _part(record: Any, name: str) -> dict[str, Any]:
    part = record.get(name) if isinstance(record, dict) else None
    return part if isinstance(part, dict) else {}
