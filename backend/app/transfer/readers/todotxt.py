"""todo.txt: a task a line, `x 2016-04-22 2016-04-19 (A) text +project @context key:value`.

Source: the format's own description (todotxt/todo.txt) and, for `due:`, `t:`, `rec:`, `pri:` and `id:`/`p:`, the habits of the
programs that use it; `rrule:`, `status:` and `archived:` are our own. Contexts are labels; the
first `+word` of a line is its project and further ones are labels.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from app.transfer.errors import WrongFileFormat
from app.transfer.model import TITLE_MAX, ParsedImport, ParsedProject, Priority, Recurrence, Status
from app.transfer.parsing import text
from app.transfer.parsing.draft import Draft, is_unstorable, name_of
from app.transfer.parsing.journal import Journal, row
from app.transfer.parsing.markup import without_marks
from app.transfer.parsing.moments import as_due, as_start, read_moment
from app.transfer.parsing.recurrence import rule_of
from app.transfer.parsing.trees import planted

if TYPE_CHECKING:
    from typing import BinaryIO
    from zoneinfo import ZoneInfo

    from app.transfer.model import ParsedTask, Place

_DATE = re.compile(r"(\d{4}-\d{1,2}-\d{1,2})\s+", re.ASCII)
_PRIORITY = re.compile(r"\(([A-Z])\)\s+")
_UNDERSTOOD = {"due", "t", "rec", "rrule", "pri", "status", "archived", "id", "p"}
_MARK = re.compile(r"[+@]\S+")
_PAIR = re.compile(r"(?P<key>[A-Za-z][\w-]*):(?P<value>(?!//)[^\s:].*)", re.DOTALL)
_REPEAT = re.compile(r"(?P<strict>\+)?(?P<n>[1-9]\d{0,2})(?P<unit>[dwmyb])")
_UNITS = {"d": "DAILY", "w": "WEEKLY", "m": "MONTHLY", "y": "YEARLY"}
_STATUSES: dict[str, Status] = {"in_progress": "in_progress", "blocked": "blocked", "cancelled": "cancelled"}
_PRIORITIES: dict[str, Priority] = {"A": "urgent", "B": "high", "C": "medium", "D": "low"}


def read(file: BinaryIO, *, zone: ZoneInfo) -> ParsedImport:
    """Dates are days in `zone`. Raises `FileRejected`."""
    if text.is_document(text.preview(text.head_of(file))):
        raise WrongFileFormat("The file is a calendar, JSON or a web page, not a todo.txt list.")
    journal = Journal()
    reading = _Reading(journal, zone)
    with text.opened(file, journal) as stream:
        for number, line in enumerate(stream, 1):
            reading.add(number, line.strip().removeprefix("\ufeff"))
    return reading.finish()


class _Reading:
    def __init__(self, journal: Journal, zone: ZoneInfo) -> None:
        self._journal = journal
        self._zone = zone
        self._projects: dict[str, ParsedProject] = {}
        self._drafts: list[Draft] = []
        self._ids: dict[str, Draft] = {}
        self._children: list[tuple[Draft, str]] = []
        """Tasks with a `p:` and its value, which is the `id:` of the task above."""

    def add(self, number: int, line: str) -> None:
        if not line:
            self._journal.skipped += 1
        elif is_unstorable(line):
            self._journal.error(row(number), "invalid_character", "The line holds a NUL character or broken Unicode.")
        else:
            self._add_task(number, line)

    def finish(self) -> ParsedImport:
        self._connect()
        finished = [task for draft in self._drafts if (task := draft.finish(self._journal))]
        return ParsedImport(
            format="todotxt",
            projects=tuple(self._projects.values()),
            tasks=planted(finished, self._journal, _place),
            skipped=self._journal.skipped,
            errors=self._journal.errors,
            warnings=self._journal.warnings,
        )

    def _add_task(self, number: int, line: str) -> None:
        done = line.startswith("x ")
        draft = Draft(place=row(number), ref=str(number), title="", status="done" if done else "todo")
        draft.source = {"format": "todotxt", "row": number}
        letter, days, rest = self._head(line[2:].lstrip() if done else line, dates=2 if done else 1)
        if done and days:
            draft.completed_at = days.pop(0)
        if days:
            draft.created_at = days[0]
        if letter:
            self._set_priority(draft, letter)
        self._set_text(draft, rest)
        self._drafts.append(draft)

    def _head(self, line: str, *, dates: int) -> tuple[str, list[datetime], str]:
        """The priority, the dates and the text of a line; what is no possible date is text."""
        letter, days = "", list[datetime]()
        while True:
            if not letter and not days and (found := _PRIORITY.match(line)):
                letter = found[1]
            elif len(days) < dates and (found := _DATE.match(line)) and (day := self._day(found[1])):
                days.append(day)
            else:
                return letter, days, line
            line = line[found.end() :]

    def _day(self, written: str) -> datetime | None:
        when = read_moment(written, self._zone)
        return as_start(when, self._zone) if when else None

    def _set_priority(self, draft: Draft, letter: str) -> None:
        draft.priority = _PRIORITIES.get(letter, "low")
        if letter not in _PRIORITIES:
            draft.source["priority"] = letter
            message = "Priorities below (D) became low; the letter is kept in the source field."
            self._journal.warn(draft.place, "priority_rounded", message)

    def _set_text(self, draft: Draft, rest: str) -> None:
        words = [word for word in rest.split() if not self._take_pair(draft, word)]
        for word in filter(_MARK.fullmatch, words):
            if word[0] == "+" and draft.project is None:
                draft.project = self._project(word[1:], draft)
            else:
                draft.labels.append(word[1:])
        plain, marks = without_marks(words, lambda word: bool(_MARK.fullmatch(word) or _PAIR.fullmatch(word)))
        draft.title = " ".join(plain)
        if marks:
            draft.source["text"] = rest
        if len(draft.title) > TITLE_MAX:
            draft.title = rest
        for pair in filter(_PAIR.fullmatch, marks):
            self._keep_pair(draft, pair)

    def _project(self, name: str, draft: Draft) -> str:
        if name not in self._projects:
            self._projects[name] = ParsedProject(name, name_of(name, self._journal, draft.place))
        return name

    def _take_pair(self, draft: Draft, word: str) -> bool:
        """Whether the word is a pair that has a field of its own; one that is not understood becomes text."""
        pair = _PAIR.fullmatch(word)
        if pair is None or pair["key"] not in _UNDERSTOOD:
            return False
        key, value = pair["key"], pair["value"]
        if key == "id":
            self._ids.setdefault(value, draft)
        elif key == "p":
            self._children.append((draft, value))
        elif not self._set_field(draft, key, value):
            message = "A date, priority or repetition was not understood; it became text."
            draft.keep(self._journal, word, "unknown_value", message)
        return True

    def _set_field(self, draft: Draft, key: str, value: str) -> bool:
        if key == "pri" and re.fullmatch("[A-Z]", value):
            self._set_priority(draft, value)
        elif key == "status" and value in _STATUSES and draft.status != "done":
            draft.status = _STATUSES[value]
        elif key == "rrule" and (rule := rule_of(value)):
            draft.recurrence = Recurrence(rule, self._zone.key)
        elif key == "rec":
            return self._set_repetition(draft, value)
        else:
            return key in {"due", "t", "archived"} and self._set_day(draft, key, value)
        return True

    def _set_day(self, draft: Draft, key: str, value: str) -> bool:
        when = read_moment(value, self._zone)
        moment = (as_due if key == "due" else as_start)(when, self._zone) if when else None
        if moment:
            setattr(draft, {"due": "due_at", "t": "start_at", "archived": "archived_at"}[key], moment)
        return moment is not None

    def _set_repetition(self, draft: Draft, value: str) -> bool:
        found = _REPEAT.fullmatch(value)
        if not found or (found["unit"] == "b" and found["n"] != "1"):
            return False
        step = f";INTERVAL={found['n']}" if found["n"] != "1" else ""
        rule = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR" if found["unit"] == "b" else f"FREQ={_UNITS[found['unit']]}{step}"
        draft.recurrence = Recurrence(rule, self._zone.key)
        if not found["strict"]:
            message = "A task repeated from the day it is done; it now repeats from its due date."
            draft.keep(self._journal, f"rec:{value}", "repeats_from_completion", message)
        return True

    def _keep_pair(self, draft: Draft, pair: str) -> None:
        draft.keep(
            self._journal, pair, "pair_kept", "Pairs (key:value) without a field of ours are kept in the description."
        )

    def _connect(self) -> None:
        """Subtasks by `p:` and `id:`; those without a partner are pairs like others."""
        used = {value for draft, value in self._children if self._ids.get(value, draft) is not draft}
        for draft, value in self._children:
            if value in used and self._ids[value] is not draft:
                draft.parent = self._ids[value].ref
            else:
                self._keep_pair(draft, f"p:{value}")
        for value, draft in self._ids.items():
            if value not in used:
                self._keep_pair(draft, f"id:{value}")


def _place(task: ParsedTask) -> Place:
    return row(int(task.ref))
