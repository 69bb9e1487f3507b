"""Delimited text: which dialect it is written in, and its records."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from app.transfer.errors import WrongFileFormat
from app.transfer.parsing.draft import is_unstorable
from app.transfer.parsing.journal import row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from app.transfer.parsing.journal import Journal

DELIMITERS = ",;\t|"
_SAMPLE = 65_536
_SAMPLE_RECORDS = 30
_HEADER_WITHIN = 10
"""Some products write a few lines about the export above the header."""
_MESSAGES = {
    "too_many_cells": "The row has more cells than the header: a delimiter in one of them is not quoted.",
    "too_few_cells": "The row has fewer cells than the header: a line break in one of them is not quoted.",
    "shifted_fields": "The row's fields are shifted: a delimiter in one of them is not quoted.",
    "invalid_character": "A cell holds a NUL character or broken Unicode.",
    "broken_quotes": "A quote is not closed, or text follows a closing quote.",
}
_RECORD_MAX = 2_000_000
"""Characters of one record over several lines: more is a quote that was never closed."""


@dataclass(frozen=True, slots=True)
class Dialect:
    delimiter: str
    skip_spaces: bool
    """Spaces after each delimiter are no part of the cells."""
    header_at: int
    """The header's record number, from 1."""
    surplus: int = 0
    """Cells that records usually have beyond the header."""


@dataclass(frozen=True, slots=True)
class Record:
    number: int
    cells: list[str]
    broken: bool = False
    """Its error is in the journal; the cells are for orientation only."""
    surplus: int = 0
    """Empty cells beyond the header, which were cut."""

    @property
    def blank(self) -> bool:
        return not any(cell.strip() for cell in self.cells)


class Table:
    """The header and, once, the records below it."""

    def __init__(self, text: TextIO, journal: Journal, is_known: Callable[[str], bool]) -> None:
        """`is_known` tells a column name that the reader can use: by these the header and the dialect are found.

        Raises `WrongFileFormat` where there is no header.
        """
        sample = text.read(_SAMPLE)
        whole = len(sample) < _SAMPLE
        sample = sample.removeprefix("\ufeff") + text.readline()
        self.dialect = sniffed(sample, is_known, whole=whole)
        self._journal = journal
        self._records = _records(_Lines(sample, text), self.dialect, journal)
        self.header = self._read_header()

    def _read_header(self) -> list[str]:
        for record in self._records:
            if record.number >= self.dialect.header_at and not record.blank:
                return [cell.strip() for cell in record.cells]
            self._journal.skipped += 1
        raise WrongFileFormat("The table has no header.")

    def rows(self) -> Iterator[Record]:
        """Records with at most as many cells as the header: surplus empty cells are cut. Blank ones are counted as skipped.

        A record that is filled beyond the header is shifted, and one with a NUL or broken Unicode cannot be stored: errors of
        their rows, which come marked as broken.
        """
        width = len(self.header)
        for record in self._records:
            if record.broken:
                yield record
            elif record.blank:
                self._journal.skipped += 1
            elif any(cell.strip() for cell in record.cells[width:]):
                yield self.refused(record, "too_many_cells")
            elif any(is_unstorable(cell) for cell in record.cells):
                yield self.refused(record, "invalid_character")
            else:
                yield Record(record.number, record.cells[:width], surplus=max(0, len(record.cells) - width))

    def refused(self, record: Record, code: str) -> Record:
        """The record as a broken one, with its error in the journal."""
        self._journal.error(row(record.number), code, _MESSAGES[code])
        return replace(record, broken=True)


def sniffed(sample: str, is_known: Callable[[str], bool], *, whole: bool) -> Dialect:
    """The dialect in which the sample makes most sense. `whole` says that the sample is not cut at its end."""
    if named := re.match(r"sep=(.)\r?\n", sample, re.IGNORECASE):  # a spreadsheet's own mark
        return Dialect(named[1], skip_spaces=False, header_at=2)
    return max(
        (_scored(sample, delimiter, is_known, whole=whole) for delimiter in DELIMITERS), key=lambda scored: scored[0]
    )[1]


def _scored(
    sample: str, delimiter: str, is_known: Callable[[str], bool], *, whole: bool
) -> tuple[tuple[int, float, int], Dialect]:
    """Known column names count most, then how even the records are, then how wide."""
    records = _sampled(sample, delimiter, whole=whole)
    known = [sum(is_known(cell.strip()) for cell in record) for record in records[:_HEADER_WITHIN]]
    best = max(known, default=0)
    at = known.index(best) if best else next((n for n, record in enumerate(records) if any(record)), 0)
    header = records[at] if records else []
    widths = Counter(len(record) for record in records[at + 1 :] if any(record))
    even = widths[len(header)] / widths.total() if widths else 1.0
    spaced = len(header) > 1 and all(cell.startswith(" ") for cell in header[1:])
    surplus = max(0, max(widths, key=lambda width: (widths[width], width), default=0) - len(header))
    return (best, even if len(header) > 1 else 0.0, len(header)), Dialect(delimiter, spaced, at + 1, surplus)


def _sampled(sample: str, delimiter: str, *, whole: bool) -> list[list[str]]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    records: list[list[str]] = []
    try:
        for record in reader:
            records.append(record)
            if len(records) > _SAMPLE_RECORDS:
                return records[:-1]
    except csv.Error:
        return records
    return records if whole else records[:-1]


class _Lines:
    """The lines of a text, with a way back to the second line of the record that was read last."""

    def __init__(self, sample: str, rest: TextIO) -> None:
        self._ahead = deque(io.StringIO(sample, newline=""))
        self._rest = rest
        self._taken: list[str] = []
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._rest)
        self._taken.append(line)
        self._length += len(line)
        if self._length > _RECORD_MAX and len(self._taken) > 1:
            raise csv.Error
        return line

    def begin_record(self) -> None:
        self._taken.clear()
        self._length = 0

    def go_back(self) -> None:
        self._ahead.extendleft(reversed(self._taken[1:]))


def _records(lines: _Lines, dialect: Dialect, journal: Journal) -> Iterator[Record]:
    """All records, blank ones too. After one with broken quotes reading goes on at its second line."""
    # The module's limit of 128 kB for a cell holds for the whole process; ours are _RECORD_MAX and the size of the file.
    csv.field_size_limit(2**31 - 1)
    for number in count(1):
        lines.begin_record()
        reader = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=dialect.skip_spaces, strict=True)
        try:
            yield Record(number, next(reader))
        except StopIteration:
            return
        except csv.Error:
            journal.error(row(number), "broken_quotes", _MESSAGES["broken_quotes"])
            lines.go_back()
            yield Record(number, [], broken=True)
