"""Thumbnails. An image is hostile until it is decoded, so a process of its own decodes it, under limits that it cannot lift."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from app.infra.settings import Settings

Size = Literal["small", "medium", "large"]
SIZES: dict[Size, int] = dict(zip(get_args(Size), (128, 512, 1280), strict=True))
"""The longer side in pixels, at most: a smaller image stays as it is."""
MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What thumbnails are made of."""
THUMBNAIL_MEDIA_TYPE = "image/webp"
CPU_SECONDS = 30
_PROGRAM = Path(__file__).with_name("thumbnailer.py")


class ImageRefused(Exception):
    """No further attempt would help; `code` is stable."""

    def __init__(self, code: str) -> None:
        super().__init__(_REASONS[code])
        self.code = code


_REASONS = {
    "image_too_large": "The image has too many pixels, or takes too much memory or time to decode",
    "image_unreadable": "The file is damaged, or is no PNG, JPEG, GIF or WebP image",
}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    size: Size
    width: int
    height: int
    content: bytes


async def thumbnails(source: AsyncIterator[bytes], settings: Settings) -> AsyncGenerator[Thumbnail, None]:
    """One for each of `SIZES`, the largest first. Raises ImageRefused; close it to end the process."""
    limits = {
        "sizes": SIZES,
        "max_pixels": settings.image_max_pixels,
        "memory": settings.image_memory_bytes,
        "cpu_seconds": CPU_SECONDS,
    }
    # Isolated and with an empty environment: it needs no settings, and shall not read ours.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(_PROGRAM), to_json(limits).decode(),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={},
    )  # fmt: skip
    try:
        await _send(process, source)
        async for thumbnail in _received(process):
            yield thumbnail
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _send(process: asyncio.subprocess.Process, source: AsyncIterator[bytes]) -> None:
    pipe = process.stdin
    if pipe is None:
        raise RuntimeError("The process was started without a pipe")
    try:
        async for chunk in source:
            pipe.write(chunk)
            await pipe.drain()
        pipe.close()
        await pipe.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        return  # it has ended; what it said, or how it ended, tells why


async def _received(process: asyncio.subprocess.Process) -> AsyncIterator[Thumbnail]:
    pipe = process.stdout
    if pipe is None:
        raise RuntimeError("The process was started without a pipe")
    while line := await pipe.readline():
        said = from_json(line)
        if "refused" in said:
            raise ImageRefused(said["refused"])
        content = await pipe.readexactly(said["bytes"])
        yield Thumbnail(said["size"], said["width"], said["height"], content)
    code = await process.wait()
    if code == -signal.SIGXCPU:
        raise ImageRefused("image_too_large")
    if code == -signal.SIGKILL:
        raise RuntimeError("The process was killed from outside: the machine may be short of memory")
    if code != 0:
        raise ImageRefused("image_unreadable")
