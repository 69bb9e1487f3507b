"""Templates of messages: `templates/<name>.txt` with the subject in its first line, `<name>.html` for the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = Path(__file__).parent / "templates"
_SUBJECT = "Subject: "


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says. Without `html` it is text only."""

    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    subject: Template
    text: Template
    html: Template

    @property
    def fields(self) -> set[str]:
        return {name for part in (self.subject, self.text, self.html) for name in part.get_identifiers()}


@cache
def _load(name: str) -> _Message:
    subject, _, text = (_FOLDER / f"{name}.txt").read_text().partition("\n\n")
    html = (_FOLDER / f"{name}.html").read_text()
    return _Message(Template(subject.removeprefix(_SUBJECT)), Template(text), Template(html))


@cache
def _layout() -> Template:
    return Template((_FOLDER / "layout.html").read_text())


def fields_of(name: str) -> set[str]:
    """The values that a template takes."""
    return _load(name).fields


@cache
def names() -> frozenset[str]:
    return frozenset(path.stem for path in _FOLDER.glob("*.txt"))


def render(name: str, values: Mapping[str, str]) -> Content:
    """The message with its values, which are text: in HTML they are escaped, their lines kept."""
    template = _load(name)
    safe = {key: escape(value).replace("\n", "<br>\n") for key, value in values.items()}
    subject = template.subject.substitute(values)
    content = template.html.substitute(safe)
    html = _layout().substitute(subject=escape(subject), content=content)
    return Content(subject, template.text.substitute(values), html)
