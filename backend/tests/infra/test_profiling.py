"""Where a process spends its time, told by itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from app.infra import profiling

BUSY = """
import threading
from app.infra import profiling

def spin():
    while True:
        pass

def start():
    threading.Thread(target=spin, name="busy", daemon=True).start()
    profiling.offer()
    print("begun", flush=True)
    threading.Event().wait()

start()
"""


@pytest.fixture
async def busy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BUSY,
        stdout=asyncio.subprocess.PIPE,
        env={"TMPDIR": str(tmp_path), "PYTHONPATH": "."},
        cwd=Path(__file__).parents[2],
    )
    await process.stdout.readline()
    yield process
    process.kill()
    await process.wait()


async def test_the_stacks_of_all_threads_are_seen_with_their_names(busy) -> None:
    seen = await asyncio.to_thread(profiling.record, busy.pid, 0.5)
    spinning = sum(count for stack, count in seen.items() if stack.startswith(b"busy;") and b";__main__.spin" in stack)
    waiting = sum(count for stack, count in seen.items() if b"MainThread;__main__.<module>;__main__.start;" in stack)
    assert spinning > 1
    assert abs(spinning - waiting) <= 1
    assert not profiling._pipe_of(busy.pid).exists()
