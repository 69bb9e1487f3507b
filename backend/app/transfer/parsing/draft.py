"""A task while a reader gathers it: `finish` brings it within the product's bounds and loses nothing on the way."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from app.transfer.model import (
    DESCRIPTION_MAX,
    ESTIMATE_MAX,
    LABELS_MAX,
    NAME_MAX,
    TITLE_MAX,
    Comment,
    ParsedTask,
    Place,
    Priority,
    Recurrence,
    Status,
)
from app.transfer.parsing.journal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from app.transfer.parsing.journal import Journal

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class UnstorableText(Exception):
    """See `is_unstorable`."""


def is_unstorable(text: str) -> bool:
    """Whether a text holds a NUL character or a lone surrogate, which no database column takes."""
    return "\0" in text if text.isascii() else _UNSTORABLE.search(text) is not None


def storable(text: str) -> str:
    """The text in NFC. Raises `UnstorableText`."""
    if is_unstorable(text):
        raise UnstorableText
    return unicodedata.normalize("NFC", text)


@dataclass(slots=True, kw_only=True)
class Draft:
    """Texts are those of the file, unbounded. `kept` are lines that end up below the description.

    Spaces and line breaks around texts and in titles are tidied, unless `exact` says that each one counts.
    """

    place: Place
    ref: str
    title: str
    parent: str | None = None
    project: str | None = None
    section: str | None = None
    description: str = ""
    status: Status = "todo"
    priority: Priority = "none"
    labels: list[str] = field(default_factory=list)
    assignees: list[str] = field(default_factory=list)
    start_at: datetime | None = None
    due_at: datetime | None = None
    estimate_minutes: int | None = None
    recurrence: Recurrence | None = None
    reminders: list[datetime] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    attachments: int = 0
    completed_at: datetime | None = None
    archived_at: datetime | None = None
    position: float | None = None
    created_at: datetime | None = None
    source: dict[str, Any] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    exact: bool = False

    def keep(self, journal: Journal, line: str, code: str, message: str) -> None:
        """Something of the file has no field of ours: it becomes a line of the description, and a warning."""
        self.kept.append(line)
        journal.warn(self.place, code, message)

    def attach(self, journal: Journal, name: str, url: str) -> None:
        """A file that stays where it is becomes a link in the description."""
        self.attachments += 1
        self.keep(
            journal, linked(name, url), "attachment_linked", "Attached files stay where they are; they became links."
        )

    def finish(self, journal: Journal) -> ParsedTask | None:
        """The task, or None with an error in the journal where it has no title or a text that cannot be stored."""
        try:
            return self._finished(journal)
        except UnstorableText:
            journal.error(self.place, "invalid_character", "A text holds a NUL character or broken Unicode.")
            return None

    def _finished(self, journal: Journal) -> ParsedTask | None:
        whole = self._tidy(self.title)
        title = whole if self.exact else " ".join(whole.split())
        if not title.strip():
            journal.error(self.place, "empty_title", "The task has no title.")
            return None
        before = ""
        if len(title) > TITLE_MAX:
            title, before = shortened(title, TITLE_MAX), whole
            journal.warn(
                self.place, "title_shortened", f"A title over {TITLE_MAX} characters is whole in the description only."
            )
        labels = list(self._labels(journal))
        estimate = self._estimate(journal)
        description, *overflow = self._description(journal, before)
        return ParsedTask(
            ref=self.ref,
            title=title,
            parent=self.parent,
            project=self.project,
            section=self.section,
            description=description,
            status=self.status,
            priority=self.priority,
            labels=tuple(labels),
            assignees=tuple(dict.fromkeys(storable(name) for name in self.assignees)),
            start_at=self.start_at,
            due_at=self.due_at,
            estimate_minutes=estimate,
            recurrence=self.recurrence,
            reminders=tuple(sorted(set(self.reminders))),
            comments=tuple(self._comments(overflow)),
            attachments=self.attachments,
            completed_at=self.completed_at if self.status == "done" else None,
            archived_at=self.archived_at,
            position=self.position,
            created_at=self.created_at,
            source=_storable_json(self.source),
        )

    def _tidy(self, text: str) -> str:
        return storable(text) if self.exact else storable(text).strip("\r\n")

    def _description(self, journal: Journal, before: str) -> list[str]:
        """The parts that one field each can hold: `before`, what the file says, and by now all that was kept."""
        parts = [before, self._tidy(self.description), storable("\n".join(self.kept))]
        fitting = split("\n\n".join(filter(None, parts)))
        if len(fitting) > 1:
            journal.warn(self.place, "description_split", "A description over 64 kB goes on in comments.")
        return fitting

    def _labels(self, journal: Journal) -> Iterator[str]:
        """Each name once, whatever its case."""
        seen: set[str] = set()
        for label in self.labels:
            name = storable(label) if self.exact else " ".join(storable(label).split())
            if len(name) > NAME_MAX or len(seen) == LABELS_MAX:
                message = f"A label over {NAME_MAX} characters, or after the {LABELS_MAX}th, became text."
                self.keep(journal, f"Label: {name}", "label_kept", message)
            elif name.strip() and name.lower() not in seen:
                seen.add(name.lower())
                yield name

    def _comments(self, overflow: list[str]) -> Iterator[Comment]:
        """Comments within bounds, the empty ones left out, the long ones in parts."""
        for comment in [Comment(rest) for rest in overflow] + self.comments:
            author = shortened(" ".join(storable(comment.author or "").split()), NAME_MAX)
            for part in split(self._tidy(comment.body)):
                if part.strip():
                    yield replace(comment, body=part, author=author or None)

    def _estimate(self, journal: Journal) -> int | None:
        if self.estimate_minutes is None or 0 <= self.estimate_minutes <= ESTIMATE_MAX:
            return self.estimate_minutes
        line = f"Estimate: {self.estimate_minutes} minutes"
        self.keep(journal, line, "estimate_out_of_range", "An estimate that no field can hold became text.")
        return None


def linked(name: str, url: str) -> str:
    """A Markdown link, or what of it there is."""
    name = " ".join(name.split())
    if not url or name == url:
        return name or url
    if re.search(r"[\s()<>]", url):
        return f"{name}: {url}" if name else url
    escaped = re.sub(r"([\[\]])", r"\\\1", name)
    return f"[{escaped}]({url})" if name else url


def shortened(text: str, length: int) -> str:
    """The beginning of `text` and an ellipsis, at a space where there is one near the end."""
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    space = cut.rfind(" ", length - 40)
    return (cut[:space] if space > 0 else cut).rstrip() + "…"


def name_of(text: str, journal: Journal, place: Place | None) -> str:
    """The name of a project or section within bounds; broken Unicode is replaced. Warns of both."""
    name = " ".join(unicodedata.normalize("NFC", printable(text)).split())
    if "\ufffd" in name and "\ufffd" not in text:
        journal.warn(place, "invalid_character", "A name holds a NUL character or broken Unicode; it was replaced.")
    if len(name) > NAME_MAX:
        journal.warn(place, "name_shortened", f"A name over {NAME_MAX} characters was shortened: {name}")
    return shortened(name, NAME_MAX)


def split(text: str) -> list[str]:
    """The text in parts of at most `DESCRIPTION_MAX` characters."""
    return [text[start : start + DESCRIPTION_MAX] for start in range(0, len(text), DESCRIPTION_MAX)] or [""]


def _storable_json(value: dict[str, Any]) -> dict[str, Any]:
    return {storable(name): _clean(part) for name, part in value.items()}


def _clean(value: Any) -> Any:
    # What is kept of a foreign product is flat: texts, numbers, and lists or maps of texts.
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_clean(part) for part in value]
    if isinstance(value, dict):
        return _storable_json(value)
    return value
