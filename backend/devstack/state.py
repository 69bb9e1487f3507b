"""What outlives a stop: the ports, passwords and keys of one stack, in its state directory."""

import contextlib
import fcntl
import json
import os
import random
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devstack.process import DevstackError


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of an earlier server that are still winding up do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A free port below those that Linux gives to clients (32768 and up).

    A client of ours that tries again and again while the server is down would one day be given the server's own
    port, connect to itself, and keep the server from coming back.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        if port_is_free(port):
            return port


class State:
    """A directory that its owner alone can read; made when it is not there. OSError when it cannot be."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self._file = self.directory / "state.json"
        self._values: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def recall(self, name: str) -> Any:
        """What was remembered under `name`, or None."""
        return self._values.get(name)

    def remember(self, name: str, value: Any) -> None:
        self._values[name] = value
        new = self._file.with_suffix(".new")
        new.touch(mode=0o600)
        with new.open("w") as file:
            json.dump(self._values, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._file)

    def secret(self, name: str) -> str:
        """The secret of this name: 32 random bytes as text that needs no quoting in URLs and configuration files."""
        if self.recall(name) is None:
            self.remember(name, secrets.token_urlsafe(32))
        secret: str = self.recall(name)
        return secret

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory, or raise `DevstackError`. The kernel lets go when the holder dies."""
        with (self.directory / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise DevstackError(
                    f"another ./run (pid {file.read().strip()}) is using {self.directory}: "
                    "stop it first, or choose another STATE_DIR (and PORT)"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def in_use(self) -> bool:
        """Whether a stack runs on this directory."""
        try:
            with self.lock():
                return False
        except DevstackError:
            return True
