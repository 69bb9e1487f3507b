"""Profiling on demand: a process tells a reader in a pipe, for as long as there is one, where its threads are.

Samples are taken by a thread inside of the process, so no right to trace it is needed, as a profiler from outside would.
SIGURG begins it: a process that does not know what it means ignores it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_INTERVAL = 0.01
_CHUNK = 65_536
_ANSWER_SECONDS = 3.0
"""A process whose main thread stands in C for longer does not answer."""


class NoAnswerError(Exception):
    """No process of the service and of this user has this id, or its main thread does not come to it."""


def offer() -> None:
    """From now on this process may be profiled, and those that it forks. For the main thread."""
    signal.signal(signal.SIGURG, _begin)


def _pipe_of(pid: int) -> Path:
    return Path(tempfile.gettempdir()) / f"taskapi-profile-{pid}"


def _begin(*_: object) -> None:
    with suppress(OSError):  # nobody reads
        pipe = os.open(_pipe_of(os.getpid()), os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        os.set_blocking(pipe, True)
        threading.Thread(target=_tell, args=(pipe,), name="profiler", daemon=True).start()


def _tell(pipe: int) -> None:
    with suppress(BrokenPipeError), open(pipe, "wb") as told:
        while True:
            told.writelines(_stacks())
            told.flush()
            time.sleep(_INTERVAL)


def _stacks() -> list[bytes]:
    """A line for each thread but this one: its name and its frames, the outermost first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()  # noqa: SLF001  there is no other way, and it is documented
    del frames[threading.get_ident()]
    return [";".join([names.get(ident, "?"), *_calls(frame)]).encode() + b"\n" for ident, frame in frames.items()]


def _calls(frame: FrameType | None) -> list[str]:
    calls = []
    while frame is not None:
        calls.append(f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return calls[::-1]


def record(pid: int, seconds: float) -> Counter[bytes]:
    """How often each stack was seen in that time, at a hundred looks a second: less time when the process ends before.

    Raises NoAnswerError.
    """
    pipe = _pipe_of(pid)
    pipe.unlink(missing_ok=True)  # of a reader that was killed
    os.mkfifo(pipe, 0o600)
    try:
        source = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.kill(pid, signal.SIGURG)
            return _count(source, seconds)
        finally:
            os.close(source)
    except (ProcessLookupError, PermissionError) as error:
        raise NoAnswerError from error
    finally:
        pipe.unlink()


def _count(source: int, seconds: float) -> Counter[bytes]:
    if not _readable(source, _ANSWER_SECONDS):
        raise NoAnswerError
    seen: Counter[bytes] = Counter()
    rest = b""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and _readable(source, left) and (told := os.read(source, _CHUNK)):
        *stacks, rest = (rest + told).split(b"\n")
        seen.update(stacks)
    return seen


def _readable(source: int, within: float) -> bool:
    return bool(select.select([source], [], [], within)[0])
