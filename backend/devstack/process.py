"""Children of ours: each alone in its process group, and told by the kernel to stop when we die."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import IO

LAUNCHER = Path(__file__).with_name("child.py")


class DevstackError(Exception):
    """What went wrong, for the person at the terminal."""


def say(text: str, name: str | None = "run") -> None:
    """Print each line of `text`, with the name of who says it unless that is None."""
    prefix = f"{name:<9}| " if name else ""
    lines = "".join(f"{prefix}{line}\n" for line in text.splitlines())
    # Unbuffered, so that threads do not mix their lines; and a reader that went away is no reason to stop serving.
    with contextlib.suppress(OSError):
        os.write(1, lines.encode(errors="replace"))


def on_stop_signal(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """What to do when somebody asks us to stop. Under nohup a lost terminal is no such request."""
    # Explicitly SIGINT: it is ignored in what a script starts with `&`, and a `kill -INT` must count there too.
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Whether `condition` came true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def launch(command: list[str], stop_signal: signal.Signals, account: str | None = None) -> list[str]:
    """`command`, so changed that it gets `stop_signal` when this process dies and runs as `account`."""
    # -I and -S: nothing but the standard library, whatever the environment says, and 10 ms instead of 40.
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(stop_signal)), account or "", *command]


class Child:
    """A program that can be started again after it ended. Start it from the main thread only.

    The kernel ties a child's life to the thread that started it, not to the process.
    """

    stop_signal = signal.SIGTERM
    force_signal = signal.SIGKILL

    def __init__(self, name: str, command: list[str], *, cwd: Path, env: dict[str, str]) -> None:
        self.name = name
        self.command = command
        self.cwd = cwd
        self.env = env
        self.account: str | None = None
        self.log: Path | None = None
        """Where its output goes; without one, to ours with its name in front."""
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: Thread | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._end_group()
        with contextlib.ExitStack() as files:
            self._process = subprocess.Popen(
                launch(self.command, self.stop_signal, self.account),
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=files.enter_context(self.log.open("ab")) if self.log else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        if self._process.stdout:
            self._reader = Thread(target=_repeat, args=(self.name, self._process.stdout), daemon=True)
            self._reader.start()

    def ask_to_stop(self) -> None:
        if self._process and self.running:
            self._process.send_signal(self.stop_signal)

    def stop(self, timeout: float) -> None:
        """Ask, wait at most `timeout` seconds, then force. Nothing of its process group is left."""
        self.ask_to_stop()
        if not wait_until(lambda: not self.running, timeout) and self._process:
            say(f"{self.name} did not stop in time; ending it")
            self._process.send_signal(self.force_signal)
            if not wait_until(lambda: not self.running, 5):
                self._process.kill()
                self._process.wait()
        self._end_group()
        if self._reader:
            self._reader.join(timeout=1)

    def how_it_ended(self) -> str:
        code = self.exit_code or 0
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _end_group(self) -> None:
        """A killed worker leaves its pool behind; the group's number is not given out again while one of them lives."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _repeat(name: str, stream: IO[bytes]) -> None:
    with stream:
        for line in stream:
            say(line.decode(errors="replace").rstrip(), name)


def run_in_foreground(
    command: list[str], *, cwd: Path, env: dict[str, str], on_terminate: signal.Signals = signal.SIGTERM
) -> int:
    """Run `command` on our terminal and return its exit code, as a shell would.

    Whoever asks us to stop asks it too; when that is by SIGTERM or SIGHUP, it is told by `on_terminate`.
    """
    # At a terminal Ctrl-C reaches the whole foreground group by itself, and the command may read the keyboard.
    # Without one it gets a group of its own, so that it is told once, by us.
    terminal = sys.stdin is not None and sys.stdin.isatty()
    process: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: FrameType | None) -> None:
        if process and not (terminal and number == signal.SIGINT):
            process.send_signal(number if number == signal.SIGINT else on_terminate)

    on_stop_signal(forward)
    process = subprocess.Popen(launch(command, signal.SIGINT), cwd=cwd, env=env, process_group=None if terminal else 0)
    code = process.wait()
    return code if code >= 0 else 128 - code
