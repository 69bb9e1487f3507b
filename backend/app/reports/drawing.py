"""Charts as shapes on a plane: worked out once, painted as SVG and as PDF alike.

Units are CSS pixels at natural size; y grows downwards. A shape says what it stands for (`tone`), not which colour that is.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Tone = Literal["created", "done", "open", "overdue"]
Anchor = Literal["start", "middle", "end"]
TONES: dict[Tone, str] = {"created": "Created", "done": "Done", "open": "Open", "overdue": "Overdue"}
_ROW = 24.0
_BAR = 12.0


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    tone: Tone


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin level line."""

    x: float
    y: float
    width: float
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """`y` is the base line."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    quiet: bool = True


@dataclass(slots=True)
class Drawing:
    says: str
    """The chart in words, for those who cannot see it."""
    width: float
    height: float
    bars: list[Bar] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Series:
    tone: Tone
    values: Sequence[int]


def columns(says: str, width: float, names: Sequence[str], series: Sequence[Series], height: float = 200) -> Drawing:
    """Columns side by side over time; `names` stand below as many of them as there is room for."""
    drawing = Drawing(says, width, height)
    left, top, bottom = 34.0, 10.0, height - 24
    top_value, step = _scale(max((value for one in series for value in one.values), default=0))
    for value in range(0, top_value + 1, step):
        y = bottom - (bottom - top) * value / top_value
        drawing.rules.append(Rule(left, y, width - left, strong=value == 0))
        drawing.words.append(Words(left - 8, y + 4, str(value), "end"))
    slot = (width - left) / max(1, len(names))
    column = min(18.0, slot * 0.7 / len(series))
    every = math.ceil(len(names) / max(1, int((width - left) / 64)))
    for place, name in enumerate(names):
        middle = left + slot * (place + 0.5)
        for number, one in enumerate(series):
            tall = (bottom - top) * one.values[place] / top_value
            x = middle + column * (number - len(series) / 2)
            if tall:
                drawing.bars.append(Bar(x, bottom - tall, column * 0.92, tall, one.tone))
        if place % every == 0:
            drawing.words.append(Words(middle, height - 6, name, "middle"))
    return drawing


def rows(says: str, width: float, names: Sequence[str], series: Sequence[Series], name_width: float) -> Drawing:
    """A bar for each name, of its series one after another, and behind it the numbers, under the names of the series.

    A single series needs no name. Without names there is nothing: a drawing of no height.
    """
    if not names:
        return Drawing(says, width, 0)
    top, numbers = (28.0, 66.0) if len(series) > 1 else (0.0, 36.0)
    drawing = Drawing(says, width, top + _ROW * len(names) + 4)
    left, right = name_width + 12, width - numbers * len(series)
    ends = [right + numbers * (number + 1) for number in range(len(series))]
    longest = max(sum(one.values[place] for one in series) for place in range(len(names))) or 1
    if top:
        for one, end in zip(series, ends, strict=True):
            drawing.words.append(Words(end, 12, TONES[one.tone], "end"))
            drawing.bars.append(Bar(end - 52, 18, 52, 3, one.tone))
    for place, name in enumerate(names):
        base = top + _ROW * place + 17
        drawing.words.append(Words(0, base, shortened(name, int(name_width / 6.6)), quiet=False))
        x = left
        for one, end in zip(series, ends, strict=True):
            value = one.values[place]
            if value:
                # What is there is seen, however little of the longest bar it is.
                wide = max(2.0, (right - left) * value / longest)
                drawing.bars.append(Bar(x, base - 10, wide, _BAR, one.tone))
                x += wide
            drawing.words.append(Words(end, base, str(value), "end", quiet=value == 0))
    return drawing


def shortened(text: str, limit: int) -> str:
    """At most so many columns of text (wide characters take two), with an ellipsis where something is left out."""
    kept, taken = "", 0
    for character in " ".join(text.split()):
        taken += 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
        if taken > limit:
            return kept[:-1].rstrip() + "…"
        kept += character
    return kept


def _scale(highest: int) -> tuple[int, int]:
    """The top of the axis and the step between its lines: round numbers, four or five lines."""
    step = 1
    while step * 4 < highest:
        magnitude = 10 ** int(math.log10(step))
        step = {1: 2, 2: 5, 5: 10}[step // magnitude] * magnitude
    return max(step, math.ceil(highest / step) * step), step
