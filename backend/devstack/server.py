"""What the private servers have in common: a remembered port, a log, and the end of what a killed `./run` left."""

import abc
import contextlib
from pathlib import Path

import psutil

from devstack.process import Child, DevstackError, say, wait_until
from devstack.state import State, free_port, port_is_free

START_TIMEOUT = 60
"""Seconds; recovery after a crash is in it."""
BIND_ATTEMPTS = 3


class Server(Child, abc.ABC):
    """A server on 127.0.0.1 with its data in a directory of its own."""

    pid_file: Path
    """Written by the server itself; begins with its process id."""

    def __init__(self, name: str, state: State, *, durable: bool) -> None:
        """`durable=False` loses data when the machine fails, and is faster: for tests."""
        self.state = state
        self.durable = durable
        self.port: int = state.recall(f"{name}_port") or 0
        super().__init__(name, [], cwd=state.directory / name, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})
        self.log = state.directory / f"{name}.log"

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the data directory when there is none, and `command` for the present port."""

    @abc.abstractmethod
    def is_ready(self) -> bool:
        """Whether the server that was started answers."""

    @property
    @abc.abstractmethod
    def program(self) -> Path:
        """The server's binary. DevstackError when this machine has none."""

    def start_on_free_port(self) -> None:
        """End what an earlier `./run` left, then start; on another port when somebody took ours meanwhile."""
        self._end_left_over()
        for attempt in range(1, BIND_ATTEMPTS + 1):
            self.port = self.port or free_port()
            self.state.remember(f"{self.name}_port", self.port)
            try:
                self.start()
                break
            except DevstackError:
                if attempt == BIND_ATTEMPTS or port_is_free(self.port):
                    raise
                say(f"port {self.port} is taken: {self.name} moves to another")
                self.port = 0

    def start(self) -> None:
        """Start on the present port and wait until it is ready, else DevstackError."""
        self.prepare()
        super().start()
        if wait_until(lambda: not self.running or self.is_ready(), START_TIMEOUT) and self.running:
            return
        self.stop(5)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:]) if self.log else ""
        raise DevstackError(f"{self.name} did not start; the end of {self.log}:\n{tail}")

    def _end_left_over(self) -> None:
        """Nobody else uses this directory (we hold its lock): a server that still runs on it has lost its `./run`."""
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
            process = psutil.Process(int(self.pid_file.read_text().split()[0]))
            # By name and port: since the file was written, the number may have gone to another program.
            if process.name() == self.program.name and str(self.port) in " ".join(process.cmdline()):
                say(f"ending {self.name} (pid {process.pid}), left over by a ./run that was killed")
                process.send_signal(self.stop_signal)
                if not wait_until(lambda: has_ended(process), 15):
                    process.kill()
        self.pid_file.unlink(missing_ok=True)


def has_ended(process: psutil.Process) -> bool:
    """Ended, or a zombie that its parent does not collect: in a container nobody may."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
