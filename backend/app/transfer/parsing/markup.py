"""Labels and the like that stand in the words of a title."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def without_marks(words: list[str], is_mark: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """The words of a title without the marks before and after it, and these marks.

    Marks within a sentence are part of it (`ask @anna about the +garden`), and a title of marks only stays as it is.
    """
    end = len(words)
    while end and is_mark(words[end - 1]):
        end -= 1
    start = 0
    while start < end and is_mark(words[start]):
        start += 1
    if start and start < end and not words[start][0].isalnum():
        start = 0
    if start == end:
        return words, []
    return words[start:end], words[:start] + words[end:]
