"""A zip file that is written as it is read: nothing of it is on disk, and a piece of it in memory."""

from __future__ import annotations

import re
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from datetime import datetime

_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_NAME_MAX = 120
_ENDING_MAX = 8


class _Sink:
    """Takes what `zipfile` writes until somebody asks for it. It cannot seek, and zipfile then does not try to."""

    def __init__(self) -> None:
        self._pieces = bytearray()

    def write(self, piece: bytes) -> int:
        self._pieces += piece
        return len(piece)

    def flush(self) -> None:
        return

    def taken(self) -> bytes:
        pieces = bytes(self._pieces)
        self._pieces.clear()
        return pieces


class Archive:
    """`entry` after `entry`, then `end`; what they yield together is the file."""

    def __init__(self, now: datetime) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w")  # type: ignore[call-overload]  # a stream is enough for it
        self._moment = now.timetuple()[:6]

    async def entry(self, path: str, content: AsyncIterable[bytes], *, compressed: bool) -> AsyncIterator[bytes]:
        info = zipfile.ZipInfo(path, self._moment)
        info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        with self._zip.open(info, "w", force_zip64=True) as file:
            async for piece in content:
                file.write(piece)
                yield self._sink.taken()
        yield self._sink.taken()

    def end(self) -> bytes:
        self._zip.close()
        return self._sink.taken()


def safe(name: str) -> str:
    """The name of a file as part of a path, on whichever system it is unpacked: it leads nowhere else."""
    plain = _UNSAFE.sub("_", name).strip(". ")
    if len(plain) <= _NAME_MAX:
        return plain or "file"
    ending = PurePosixPath(plain).suffix
    return plain[:_NAME_MAX] if len(ending) > _ENDING_MAX else plain[: _NAME_MAX - len(ending)] + ending
