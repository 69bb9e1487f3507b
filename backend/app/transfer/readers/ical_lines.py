"""The outer grammar of iCalendar (RFC 5545 section 3.1): lines, properties, components.

Lenient where real files are: LF line ends, blank lines, folds in the middle of a letter, lower-case names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.transfer.errors import WrongFileFormat
from app.transfer.parsing import text
from app.transfer.parsing.journal import item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from app.transfer.parsing.journal import Journal

_NAME = re.compile(r"[\w-]+(?=[;:])", re.ASCII)
_PARAMETER = re.compile(r';([\w-]+)(?:=((?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*))?', re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ITEM = re.compile(r"(?:\\.|[^\\,])+", re.DOTALL)
_DEEPEST = 50
_INNER = {"VTIMEZONE", "STANDARD", "DAYLIGHT", "VALARM"}


@dataclass(slots=True)
class Component:
    """A VTODO or VTIMEZONE: its unfolded lines, and those of its alarms."""

    kind: str
    lines: list[str] = field(default_factory=list)
    alarms: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Property:
    name: str
    parameters: dict[str, str]
    value: str
    """As written; `text` is without escapes."""

    @property
    def text(self) -> str:
        return _unescaped(self.value)

    @property
    def items(self) -> list[str]:
        """The parts of a list separated by commas."""
        return [_unescaped(part).strip() for part in _ITEM.findall(self.value)]


class Scan:
    """All tasks and time zones of a file, and what it says of its calendar."""

    def __init__(self, file: BinaryIO, journal: Journal) -> None:
        """Other components are counted as skipped; a task that is not closed is an error.

        Raises `FileRejected` where there is no calendar in the file.
        """
        self.todos: list[Component] = []
        self.zones: list[Component] = []
        self.calendar: dict[str, str] = {}
        """Properties of the (first) calendar itself."""
        self._journal = journal
        self._stack: list[str] = []
        self._open: Component | None = None
        self._begun = False
        for line in _unfolded(file, journal):
            self._take(line)
        if not self._begun:
            raise WrongFileFormat("There is no VCALENDAR in the file.")
        self._close(None)
        if self._stack:
            journal.warn(None, "calendar_not_closed", "The calendar is not closed; the file may be cut.")

    def _take(self, line: str) -> None:
        word, _, kind = line.partition(":")
        word, kind = word.strip().upper(), kind.strip().upper()
        if word == "BEGIN":
            self._begin(kind)
        elif not self._begun:
            raise WrongFileFormat("The file does not begin with BEGIN:VCALENDAR.")
        elif word == "END":
            self._end(kind)
        elif self._open is None:
            if self._stack == ["VCALENDAR"] and (found := parsed(line)):
                self.calendar.setdefault(found.name, found.text)
        elif self._stack[-1] == "VALARM" and self._open.alarms:
            self._open.alarms[-1].append(line)
        elif self._stack[-1] in {self._open.kind, "STANDARD", "DAYLIGHT"}:
            self._open.lines.append(line)

    def _begin(self, kind: str) -> None:
        if not self._begun and kind != "VCALENDAR":
            raise WrongFileFormat("The file does not begin with BEGIN:VCALENDAR.")
        if len(self._stack) > _DEEPEST:
            raise WrongFileFormat("The components of the calendar are nested too deeply.")
        self._begun = True
        if kind in {"VTODO", "VTIMEZONE", "VCALENDAR"}:
            self._close(None)
            self._open = Component(kind) if kind != "VCALENDAR" else None
        elif kind == "VALARM" and self._open:
            self._open.alarms.append([])
        elif kind not in _INNER:
            self._journal.skipped += 1
        elif self._open:
            self._open.lines.append(f"BEGIN:{kind}")
        self._stack.append(kind)

    def _end(self, kind: str) -> None:
        if kind not in self._stack:
            return
        while self._stack.pop() != kind:
            pass
        if self._open and kind in {self._open.kind, "VCALENDAR"}:
            self._close(kind)
        elif self._open and kind in _INNER and kind != "VALARM":
            self._open.lines.append(f"END:{kind}")

    def _close(self, kind: str | None) -> None:
        """Keeps the open component if `kind` closes it."""
        done, self._open = self._open, None
        if done is None:
            return
        if kind == done.kind:
            (self.todos if kind == "VTODO" else self.zones).append(done)
        elif done.kind == "VTODO":
            name = next((found.text for line in done.lines if (found := parsed(line)) and found.name == "UID"), "VTODO")
            self._journal.error(
                item(name), "truncated_item", "The task is not closed by END:VTODO; the file may be cut."
            )


def parsed(line: str) -> Property | None:
    """The property of a content line, or None for a line that has none."""
    name = _NAME.match(line)
    if name is None:
        return None
    at, parameters = name.end(), {}
    while found := _PARAMETER.match(line, at):
        parameters[found[1].upper()] = (found[2] or "").replace('"', "")
        at = found.end()
    if line[at : at + 1] != ":":
        return None
    return Property(name[0].upper(), parameters, line[at + 1 :])


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(lambda found: "\n" if found[1] in "nN" else found[1], value)


def _unfolded(file: BinaryIO, journal: Journal) -> Iterator[str]:
    """Logical lines, the blank ones left out. Folds are undone in bytes: some products fold in the middle of a letter."""
    with text.opened(file, journal, _logical_lines) as stream:
        if stream.encoding.startswith(("utf-16", "utf-32")):
            lines, encoding = (line.encode("utf-8", "surrogatepass") for line in stream), "utf-8"
        else:
            lines, encoding = (line for line in file), stream.encoding.removesuffix("-sig")
        errors = stream.errors or "strict"
        for logical in _logical_lines(lines):
            yield logical.decode(encoding, errors).removeprefix("\ufeff")


def _logical_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    parts: list[bytes] = []
    for line in lines:
        bare = line.rstrip(b"\r\n")
        if bare[:1] in {b" ", b"\t"} and parts:
            parts.append(bare[1:])
            continue
        if parts:
            yield b"".join(parts)
        parts = [bare] if bare.strip() else []
    if parts:
        yield b"".join(parts)
