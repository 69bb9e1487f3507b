"""From the bytes of a file to its text."""

from __future__ import annotations

import codecs
import io
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.transfer.errors import UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO, TextIO

    from app.transfer.parsing.journal import Journal

HEAD = 65_536
"""Bytes that are enough to tell what a file is."""
_BLOCK = 1 << 20
_BINARY = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet; export it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet; export it as CSV"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image"),
    (b"GIF8", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"SQLite format 3\0", "a database"),
    (b"\x7fELF", "a program"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b"})
_DOCUMENT = re.compile(
    r"\ufeff?\s*(?:BEGIN:VCALENDAR|<(?:\?xml|!doctype|html)|\{\s*[\"}]|\[\s*(?:\]\s*$|[{\"]))", re.IGNORECASE
)
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def head_of(file: BinaryIO) -> bytes:
    """The first bytes; the file is left at its beginning."""
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    return head


def encoding_of(file: BinaryIO, blocks: Callable[[BinaryIO], Iterable[bytes]] | None = None) -> tuple[str, str]:
    """The file's encoding and the error handler to read it with. `blocks` are the bytes by which letters are judged.

    What is not a letter in that encoding becomes a lone surrogate, by which a reader knows a broken row. A file without a
    byte order mark is UTF-8, unless most of its letters beyond ASCII are not: then it is Windows-1252.

    Raises `UnreadableFile` for what is no text.
    """
    head = head_of(file)
    if encoding := _marked(head):
        return encoding, "surrogateescape" if encoding == "utf-8-sig" else "surrogatepass"
    _refuse_binary(head)
    mostly = _is_mostly_utf8((blocks or _blocks)(file))
    return ("utf-8", "surrogateescape") if mostly else ("cp1252", "surrogateescape")


@contextmanager
def opened(
    file: BinaryIO, journal: Journal, blocks: Callable[[BinaryIO], Iterable[bytes]] | None = None
) -> Iterator[TextIO]:
    """The file as text from its beginning, line ends as they are; `file` stays open. `blocks` as in `encoding_of`."""
    encoding, errors = encoding_of(file, blocks)
    if encoding == "cp1252":
        journal.warn(None, "not_utf8", "The file is not UTF-8; it was read as Windows-1252.")
    file.seek(0)
    text = io.TextIOWrapper(file, encoding, errors, newline="")
    try:
        yield text
    except UnicodeDecodeError:
        raise UnreadableFile("The file ends in the middle of a character, or is not text.") from None
    finally:
        text.detach()


def preview(head: bytes) -> str:
    """The first bytes as text, for telling what a file is: a cut or broken letter does not matter.

    Raises `UnreadableFile` for what is no text.
    """
    encoding = _marked(head)
    if encoding is None:
        _refuse_binary(head)
    return head.decode(encoding or "utf-8", "replace")


def is_document(preview: str) -> bool:
    """Whether it begins like a calendar, JSON or a web page: what is neither a table nor a list of lines."""
    return _DOCUMENT.match(preview) is not None


def _refuse_binary(head: bytes) -> None:
    """Raises `UnreadableFile` for the usual kinds of files that are no text, and for those full of control characters."""
    for magic, what in _BINARY:
        if head.startswith(magic):
            raise UnreadableFile(f"The file is not text: it is {what}.")
    if head and len(head) - len(head.translate(None, _CONTROL)) > len(head) / 10:
        raise UnreadableFile("The file is not text.")


def _marked(head: bytes) -> str | None:
    """The encoding that a byte order mark names, or the zeros in every other byte of mostly ASCII text in UTF-16."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    pairs = len(head) // 2
    if pairs < 4:  # noqa: PLR2004  too little to tell
        return None
    if head[1::2].count(0) > pairs * 0.6 and head[::2].count(0) < pairs * 0.1:
        return "utf-16-le"
    if head[::2].count(0) > pairs * 0.6 and head[1::2].count(0) < pairs * 0.1:
        return "utf-16-be"
    return None


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(_BLOCK), b"")


def _is_mostly_utf8(blocks: Iterable[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    letters = broken = 0
    for block in blocks:
        if block.isascii() and not decoder.getstate()[0]:
            continue
        text = decoder.decode(block)
        letters += sum(map(len, _NOT_ASCII.findall(text)))
        broken += len(_NOT_UTF8.findall(text))
    broken += len(decoder.decode(b"", final=True))
    return broken <= letters - broken
