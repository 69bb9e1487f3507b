from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from fpdf import FPDF
from fpdf.bidi import BidiParagraph
from fpdf.fonts import TTFFont

from app.reports import charts
from app.reports.drawing import TONES
from app.reports.figures import Figures, long_day
from app.reports.writers.tiles import Tile, tiles

if TYPE_CHECKING:
    from app.reports.charts import Chart
    from app.reports.drawing import Drawing, Tone

_FONTS = Path(__file__).parents[1] / "fonts"
_REGULAR = _FONTS / "DejaVuSansCondensed.ttf"
_BOLD = _FONTS / "DejaVuSansCondensed-Bold.ttf"
_MARGIN = 17.0
_WIDTH = 210 - 2 * _MARGIN
_UNIT = _WIDTH / charts.FULL
"""Millimetres for one unit of a drawing."""
_LABEL = 8.0
"""Points: what 12 units come to, a little less."""
_TEXT, _QUIET, _GRID = (27, 35, 48), (102, 112, 133), (228, 231, 236)
_TONES: dict[Tone, tuple[int, int, int]] = {
    "created": (180, 192, 212),
    "done": (47, 111, 222),
    "open": (169, 199, 247),
    "overdue": (217, 96, 59),
}
_MISSING = "\N{WHITE SQUARE}"
_LEFTWARD = {"R", "AL"}


def pdf_document(figures: Figures) -> bytes:
    """A4, with real text in an embedded font; what the font cannot draw is a square, and a note says so."""
    page = _Page()
    page.set_title(f"{figures.workspace}: {figures.period}")
    page.set_lang("en")
    page.set_creation_date(figures.made_at)
    page.add_page()
    page.heading(figures)
    page.tiles(tiles(figures))
    page.chart(charts.throughput(figures))
    page.halves(charts.ageing(figures), charts.lateness(figures))
    page.chart(charts.people(figures))
    page.chart(charts.labels(figures))
    page.overdue(figures)
    page.notes(figures)
    return bytes(page.output())


class _Page(FPDF):
    def __init__(self) -> None:
        super().__init__(format="A4")
        self.add_font("DejaVu", "", _REGULAR)
        self.add_font("DejaVu", "B", _BOLD)
        self.set_margin(_MARGIN)
        self.set_auto_page_break(auto=False)
        faces = [self.fonts[name] for name in ("dejavu", "dejavuB")]
        self._known = frozenset.intersection(*(frozenset(face.cmap) for face in faces if isinstance(face, TTFFont)))
        self._squares = 0

    def footer(self) -> None:
        self._words(210 - _MARGIN, 297 - 9, str(self.page_no()), size=8, color=_QUIET, anchor="end")

    def heading(self, figures: Figures) -> None:
        y = _MARGIN + 6
        self._words(_MARGIN, y, self._fitting(figures.workspace, _WIDTH, 20, bold=True), size=20, bold=True)
        self._words(_MARGIN, y + 7.5, figures.period, size=12)
        y += 7.5
        for word, names in figures.filters:
            y += 5
            self._words(_MARGIN, y, self._fitting(f"{word}: {names}", _WIDTH, 9), size=9, color=_QUIET)
        self.set_y(y + 7)

    def tiles(self, shown: list[Tile]) -> None:
        across = (_WIDTH + 5) / 3
        for place, tile in enumerate(shown):
            x, y = _MARGIN + across * (place % 3), self.y + 20 * (place // 3)
            self._line(x, y, across - 5)
            self._words(x, y + 5.5, tile.name, size=8.5, color=_QUIET)
            self._words(x, y + 12, tile.value, size=16, bold=True, color=_TONES["overdue"] if tile.alarming else _TEXT)
            self._words(x, y + 16.5, tile.note, size=8, color=_QUIET)
        self.set_y(self.y + 20 * (len(shown) // 3) + 2)

    def chart(self, chart: Chart) -> None:
        self._room_for(13 + chart.drawing.height * _UNIT)
        self._title(_MARGIN, _WIDTH, chart)
        if not chart.empty:
            self._paint(chart.drawing, _MARGIN, self.y + 13)
        else:
            self._words(_MARGIN, self.y + 17, "There is nothing to show.", size=8.5, color=_QUIET)
        self.set_y(self.y + 13 + max(4, chart.drawing.height * _UNIT) + 7)

    def halves(self, left: Chart, right: Chart) -> None:
        tall = max(left.drawing.height, right.drawing.height) * _UNIT
        self._room_for(13 + tall)
        for x, chart in ((_MARGIN, left), (210 - _MARGIN - charts.HALF * _UNIT, right)):
            self._title(x, charts.HALF * _UNIT, chart)
            self._paint(chart.drawing, x, self.y + 13)
        self.set_y(self.y + 13 + tall + 7)

    def overdue(self, figures: Figures) -> None:
        self._room_for(16 + 6.5 * len(figures.overdue))
        self._line(_MARGIN, self.y, _WIDTH)
        self._words(_MARGIN, self.y + 6, "Longest overdue", size=10.5, bold=True)
        said = f"{len(figures.overdue)} of {figures.totals.overdue}" if figures.overdue else "Nothing is late."
        self._words(_MARGIN, self.y + 10.5, said, size=8, color=_QUIET)
        y = self.y + 11
        right = 210 - _MARGIN
        for task in figures.overdue:
            y += 6.5
            self._words(_MARGIN, y, self._fitting(task.key, 24, 8.5), size=8.5, color=_QUIET)
            self._words(_MARGIN + 26, y, self._fitting(task.title, 76, 8.5), size=8.5)
            self._words(_MARGIN + 104, y, self._fitting(", ".join(task.people), 34, 8.5), size=8.5, color=_QUIET)
            self._words(right - 14, y, long_day(task.due), size=8.5, color=_QUIET, anchor="end")
            self._words(right, y, f"{task.days} d", size=8.5, anchor="end")
        self.set_y(y + 9)

    def notes(self, figures: Figures) -> None:
        made = figures.made_at
        lines = [
            f"Made on {long_day(made)} at {made:%H:%M}; days are those of {figures.zone}.",
            "Open is what is neither done nor cancelled nor archived; overdue is what is open past its due date.",
            "Both are of now, not of the end of the period. Deleted tasks do not count.",
        ]
        if self._squares:
            lines.append(f"{_MISSING} stands for a character that the font of this document does not have.")
        self._room_for(4.5 * len(lines))
        for place, line in enumerate(lines):
            self._words(_MARGIN, self.y + 4.5 * (place + 1), line, size=8, color=_QUIET)

    def _room_for(self, height: float) -> None:
        if self.y + height > 297 - _MARGIN:
            self.add_page()
            self.set_y(_MARGIN)

    def _title(self, x: float, width: float, chart: Chart) -> None:
        self._line(x, self.y, width)
        self._words(x, self.y + 6, chart.title, size=10.5, bold=True)
        self._words(x, self.y + 10.5, chart.note, size=8, color=_QUIET)
        end = x + width
        for tone in reversed(chart.legend):
            name = TONES[tone]
            self._words(end, self.y + 6, name, size=8, color=_QUIET, anchor="end")
            end -= self.get_string_width(name) + 4
            self.set_fill_color(_TONES[tone])
            self.rect(end, self.y + 3.6, 2.6, 2.6, style="F")
            end -= 5

    def _paint(self, drawing: Drawing, x: float, y: float) -> None:
        for rule in drawing.rules:
            self._line(x + rule.x * _UNIT, y + rule.y * _UNIT, rule.width * _UNIT, strong=rule.strong)
        for bar in drawing.bars:
            self.set_fill_color(_TONES[bar.tone])
            self.rect(x + bar.x * _UNIT, y + bar.y * _UNIT, bar.width * _UNIT, bar.height * _UNIT, style="F")
        for words in drawing.words:
            color = _QUIET if words.quiet else _TEXT
            self._words(
                x + words.x * _UNIT, y + words.y * _UNIT, words.text, size=_LABEL, color=color, anchor=words.anchor
            )

    def _line(self, x: float, y: float, width: float, *, strong: bool = False) -> None:
        self.set_draw_color(_QUIET if strong else _GRID)
        self.set_line_width(0.2)
        self.line(x, y, x + width, y)

    def _words(
        self, x: float, y: float, text: str, *, size: float, bold: bool = False,
        color: tuple[int, int, int] = _TEXT, anchor: str = "start",
    ) -> None:  # fmt: skip
        self.set_font("DejaVu", "B" if bold else "", size)
        self.set_text_color(color)
        drawn = self._drawable(text)
        width = self.get_string_width(drawn) if anchor != "start" else 0.0
        self.text(x - {"start": 0.0, "middle": width / 2, "end": width}[anchor], y, drawn)

    def _fitting(self, text: str, width: float, size: float, *, bold: bool = False) -> str:
        """As much of the text as fits, with an ellipsis where something is left out."""
        self.set_font("DejaVu", "B" if bold else "", size)
        text = " ".join(text.split())
        if self.get_string_width(self._drawable(text)) <= width:
            return text
        while text and self.get_string_width(self._drawable(f"{text}…")) > width:
            text = text[:-1]
        return f"{text.rstrip()}…"

    def _drawable(self, text: str) -> str:
        """The text with a square for what the font lacks, and without characters that only steer."""
        seen = [character for character in text if unicodedata.category(character) not in {"Cc", "Cf", "Cs"}]
        drawn = [character if ord(character) in self._known else _MISSING for character in seen]
        self._squares += sum(before != after for before, after in zip(seen, drawn, strict=True))
        if any(unicodedata.bidirectional(character) in _LEFTWARD for character in drawn):
            return BidiParagraph("".join(drawn)).get_reordered_string()
        return "".join(drawn)
