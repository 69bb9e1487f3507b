"""Trello's board export (JSON), in its old and new shapes.

The board is a project, its lists are sections, cards are tasks and the items of their checklists subtasks. An archived card is
archived, which says nothing about whether it is done; `dueComplete` does. Comments stand among the board's actions, of which an
export holds the newest 1,000.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.transfer.errors import WrongFileFormat
from app.transfer.model import PROJECT_DESCRIPTION_MAX, Comment, ParsedImport, ParsedProject, ParsedSection
from app.transfer.parsing.document import loaded, names, number, records, texts
from app.transfer.parsing.draft import Draft, name_of, shortened
from app.transfer.parsing.journal import Journal, item, printable
from app.transfer.parsing.moments import as_start, in_range, read_moment
from app.transfer.parsing.trees import planted
from app.transfer.readers.trello_actions import COMMENTS, History

if TYPE_CHECKING:
    from typing import BinaryIO

    from app.transfer.model import Place

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_REMINDER_MAX = 525_600
"""Minutes: a year."""


def is_board(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("cards"), list)
        and isinstance(document.get("lists"), list)
    )


def read(file: BinaryIO, *, now: datetime) -> ParsedImport:
    """`now` is when cards were archived whose export does not say it. Raises `FileRejected`."""
    journal = Journal()
    board = loaded(file, journal)
    if not is_board(board):
        raise WrongFileFormat("A Trello export is an object with `lists` and `cards`.")
    return _Reading(board, journal, now).run()


class _Reading:
    def __init__(self, board: dict[str, Any], journal: Journal, now: datetime) -> None:
        self._journal = journal
        self._now = now
        self._board = board
        self._sections = {texts(part, "id"): part for part in _ordered(records(board, "lists"))}
        self._labels = {texts(part, "id"): part for part in records(board, "labels")}
        self._members = {texts(part, "id"): _person(part) for part in records(board, "members")}
        self._fields = {texts(part, "id"): part for part in records(board, "customFields")}
        self._checklists = _by_card(records(board, "checklists"))
        self._history = History(records(board, "actions"))
        self._drafts: dict[str, Draft] = {}

    def run(self) -> ParsedImport:
        for index, card in self._cards():
            self._add_card(card, item(texts(card, "id") or f"cards/{index}"))
        self._warn_of_the_rest()
        finished = [task for draft in self._drafts.values() if (task := draft.finish(self._journal))]
        name = name_of(texts(self._board, "name"), self._journal, None) or "Trello"
        about = printable(texts(self._board, "desc"))
        if len(about) > PROJECT_DESCRIPTION_MAX:
            message = f"The board's description was cut at {PROJECT_DESCRIPTION_MAX} characters."
            self._journal.warn(None, "description_shortened", message)
        return ParsedImport(
            format="trello-json",
            projects=(ParsedProject("board", name, shortened(about, PROJECT_DESCRIPTION_MAX)),),
            sections=tuple(self._section(part) for part in self._sections.values()),
            tasks=planted(finished, self._journal, lambda task: self._drafts[task.ref].place),
            skipped=self._journal.skipped,
            errors=self._journal.errors,
            warnings=self._journal.warnings,
        )

    def _section(self, part: dict[str, Any]) -> ParsedSection:
        name = name_of(texts(part, "name"), self._journal, item(texts(part, "id"))) or "Untitled"
        return ParsedSection(texts(part, "id"), name, "board", archived=part.get("closed") is True)

    def _cards(self) -> list[tuple[int, dict[str, Any]]]:
        """The cards and their places in the file, in the order of the board."""
        order = {ref: place for place, ref in enumerate(self._sections)}
        cards: list[tuple[int, dict[str, Any]]] = []
        for index, card in enumerate(self._board["cards"]):
            if isinstance(card, dict):
                cards.append((index, card))
            else:
                self._journal.error(item(f"cards/{index}"), "not_an_object", "A card is not an object.")
        return sorted(cards, key=lambda one: (order.get(texts(one[1], "idList"), len(order)), _position(one[1])))

    def _new(self, ref: str, **fields: Any) -> Draft:
        while not ref or ref in self._drafts:
            ref = f"{ref or 'task'}/{len(self._drafts)}"
        draft = self._drafts[ref] = Draft(ref=ref, project="board", **fields)
        return draft

    def _add_card(self, card: dict[str, Any], place: Place) -> None:
        card_id, list_id = texts(card, "id"), texts(card, "idList")
        draft = self._new(
            card_id,
            place=place,
            title=texts(card, "name"),
            description=texts(card, "desc"),
            section=list_id if list_id in self._sections else None,
            status="done" if card.get("dueComplete") is True else "todo",
            labels=self._labels_of(card),
            assignees=[self._members.get(member, member) for member in names(card, "idMembers")],
            completed_at=self._history.completed.get(card_id),
            archived_at=self._archived_at(card),
            created_at=self._history.created.get(card_id) or _born(card_id),
            source={"format": "trello-json", "id": card_id},
        )
        if draft.section is None:
            self._journal.warn(place, "section_missing", "The list of a card is not in the file; it is in no section.")
        if url := texts(card, "shortUrl") or texts(card, "url"):
            draft.source["url"] = url
        self._set_times(draft, card)
        self._set_comments(draft, card)
        self._set_rest(draft, card)
        for checklist in _ordered([*self._checklists.pop(card_id, []), *records(card, "checklists")]):
            self._add_items(draft, card, checklist)

    def _labels_of(self, card: dict[str, Any]) -> list[str]:
        """By id or written out; a label without a name is called by its colour."""
        ids = names(card, "idLabels")
        used = [self._labels[one] for one in ids if one in self._labels] + records(card, "labels")
        written = [texts(label, "name").strip() or texts(label, "color") for label in used]
        unknown = [one for one in ids if one not in self._labels] if not records(card, "labels") else []
        return [*written, *unknown]

    def _archived_at(self, card: dict[str, Any]) -> datetime | None:
        in_closed_list = self._sections.get(texts(card, "idList"), {}).get("closed") is True
        if card.get("closed") is not True and not in_closed_list:
            return None
        known = self._history.closed.get(texts(card, "id"))
        return known or _moment(texts(card, "dateClosed")) or _moment(texts(card, "dateLastActivity")) or self._now

    def _set_times(self, draft: Draft, record: dict[str, Any]) -> None:
        """Of a card or an item of a checklist."""
        draft.due_at = self._time(draft, record, "due")
        draft.start_at = self._time(draft, record, "start")
        before = number(record, "dueReminder")
        if draft.due_at and before is not None and 0 <= before <= _REMINDER_MAX:
            moment = in_range(draft.due_at - timedelta(minutes=before))
            draft.reminders.extend([moment] if moment else [])

    def _time(self, draft: Draft, record: dict[str, Any], name: str) -> datetime | None:
        written = texts(record, name)
        moment = _moment(written)
        if written and moment is None:
            draft.keep(
                self._journal, f"{name}: {written}", "unknown_date", "A date was not understood; it became text."
            )
        return moment

    def _set_comments(self, draft: Draft, card: dict[str, Any]) -> None:
        actions = self._history.comments.pop(texts(card, "id"), [])
        own = [action for action in records(card, "actions") if texts(action, "type") in COMMENTS]
        for action in sorted(actions or own, key=lambda action: texts(action, "date")):
            author = _person(action.get("memberCreator")) or self._members.get(texts(action, "idMemberCreator"))
            draft.comments.append(Comment(texts(action.get("data"), "text"), author, _moment(texts(action, "date"))))
        if (number(card.get("badges"), "comments") or 0) > len(draft.comments):
            message = "A card had more comments than the file holds: an export carries the newest 1,000 actions only."
            self._journal.warn(draft.place, "comments_missing", message)

    def _set_rest(self, draft: Draft, card: dict[str, Any]) -> None:
        for attachment in records(card, "attachments"):
            draft.attach(self._journal, texts(attachment, "name"), texts(attachment, "url"))
        for value in records(card, "customFieldItems"):
            draft.keep(self._journal, self._custom(value), "custom_field_kept", "Custom fields became text.")
        if place := texts(card, "locationName") or texts(card, "address") or _coordinates(card.get("coordinates")):
            draft.keep(self._journal, f"Location: {place}", "location_kept", "Locations became text.")
        if voters := names(card, "idMembersVoted"):
            draft.source["voters"] = [self._members.get(one, one) for one in voters]
            self._journal.warn(draft.place, "votes_kept", "Votes are kept in the source field.")
        if card.get("isTemplate") is True:
            draft.source["template"] = True
            self._journal.warn(draft.place, "template_kept", "Template cards became tasks; the source field says so.")
        for name in ("stickers", "pluginData"):
            if card.get(name):
                self._journal.warn(draft.place, "not_kept", f"The {name} of cards did not come in.")

    def _custom(self, value: dict[str, Any]) -> str:
        field = self._fields.get(texts(value, "idCustomField"), {})
        options = {texts(option, "id"): option.get("value") for option in records(field, "options")}
        content = value.get("value") or options.get(texts(value, "idValue"))
        shown = ", ".join(map(str, content.values())) if isinstance(content, dict) else texts(value, "value")
        return f"{texts(field, 'name') or 'Custom field'}: {shown}"

    def _add_items(self, above: Draft, card: dict[str, Any], checklist: dict[str, Any]) -> None:
        name = texts(checklist, "name")
        states = {texts(state, "idCheckItem"): texts(state, "state") for state in records(card, "checkItemStates")}
        items = _ordered(records(checklist, "checkItems"))
        for index, entry in enumerate(items):
            entry_id = texts(entry, "id")
            draft = self._new(
                entry_id or f"{above.ref}/{texts(checklist, 'id')}/{index}",
                place=item(entry_id or f"{above.ref}/{index}"),
                title=texts(entry, "name"),
                parent=above.ref,
                section=above.section,
                status="done" if (texts(entry, "state") or states.get(entry_id)) == "complete" else "todo",
                assignees=[self._members.get(member, member) for member in [texts(entry, "idMember")] if member],
                completed_at=self._history.completed.get(entry_id),
                created_at=_born(entry_id),
                source={"format": "trello-json", "id": entry_id, "checklist": name},
            )
            self._set_times(draft, entry)
        if not items:
            above.keep(self._journal, f"Checklist: {name}", "checklist_empty", "A checklist without items became text.")

    def _warn_of_the_rest(self) -> None:
        for part in (self._history.comments, self._checklists):
            for ref in part:
                self._journal.skipped += len(part[ref])
                message = "Comments and checklists of cards that are not in the file did not come in."
                self._journal.warn(item(ref), "card_missing", message)
        for name in ("pluginData", "powerUps"):
            if self._board.get(name):
                self._journal.warn(None, "not_kept", f"The board's {name} did not come in.")


def _ordered(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(parts, key=_position)


def _position(record: dict[str, Any]) -> float:
    position = number(record, "pos")
    return math.inf if position is None else position


def _by_card(checklists: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for checklist in checklists:
        found.setdefault(texts(checklist, "idCard"), []).append(checklist)
    return found


def _person(member: Any) -> str:
    return texts(member, "fullName").strip() or texts(member, "username").strip()


def _moment(written: str) -> datetime | None:
    when = read_moment(written, UTC) if written else None
    return as_start(when, UTC) if when else None


def _born(object_id: str) -> datetime | None:
    """Trello's ids begin with the second in which they were made."""
    if not _OBJECT_ID.fullmatch(object_id):
        return None
    return datetime.fromtimestamp(int(object_id[:8], 16), UTC)


def _coordinates(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(filter(None, [texts(value, "latitude"), texts(value, "longitude")]))
    return value if isinstance(value, str) else ""
