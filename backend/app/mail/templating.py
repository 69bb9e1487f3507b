"""Templates of messages: `templates/<name>.subject.txt`, `<name>.txt`, and `<name>.html` for the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, meta, select_autoescape

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOADER = PackageLoader("app.mail")
_TEMPLATES = Environment(loader=_LOADER, autoescape=select_autoescape(["html"]), undefined=StrictUndefined)


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says. Without `html` it is text only."""

    subject: str
    text: str
    html: str | None = None


_PARTS = ("subject.txt", "txt", "html")


@cache
def names() -> frozenset[str]:
    return frozenset(name.removesuffix(".subject.txt") for name in _LOADER.list_templates() if ".subject." in name)


@cache
def fields_of(name: str) -> frozenset[str]:
    """The values that a template takes."""
    sources = [_LOADER.get_source(_TEMPLATES, f"{name}.{part}")[0] for part in _PARTS]
    return frozenset().union(*(meta.find_undeclared_variables(_TEMPLATES.parse(source)) for source in sources))


def render(name: str, values: Mapping[str, str]) -> Content:
    """The message with its values, which are text: in HTML they are escaped."""
    subject, text, html = (_TEMPLATES.get_template(f"{name}.{part}") for part in _PARTS)
    title = subject.render(values)
    return Content(title, text.render(values), html.render(values, title=title))
