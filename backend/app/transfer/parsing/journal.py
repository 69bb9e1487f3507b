"""The account a reader keeps while it reads."""

from __future__ import annotations

from dataclasses import replace

from app.transfer.model import Place, Problem


class Journal:
    """Errors are kept one by one; a warning that repeats is one entry with its first place and a count."""

    def __init__(self) -> None:
        self.skipped = 0
        self._errors: list[Problem] = []
        self._warnings: dict[tuple[str, str], Problem] = {}

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(self._errors)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(self._warnings.values())

    def error(self, place: Place | None, code: str, message: str) -> None:
        self._errors.append(Problem(code, message, place))

    def warn(self, place: Place | None, code: str, message: str) -> None:
        known = self._warnings.get((code, message))
        self._warnings[code, message] = (
            replace(known, count=known.count + 1) if known else Problem(code, message, place)
        )


def row(number: int) -> Place:
    return Place("row", number)


def item(name: str) -> Place:
    """Names come from the file, so they are cut to a length that suits a report."""
    return Place("item", printable(name)[:100])


def printable(text: str) -> str:
    """`text` with what cannot be stored or printed replaced by U+FFFD."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
