"""Servers that belong to one run of the tests or of the benchmark."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devstack.postgres import PostgresServer
from devstack.state import State
from devstack.valkey import ValkeyServer


@contextlib.contextmanager
def private_servers(*, durable: bool = False) -> Iterator[tuple[str, str]]:
    """PostgreSQL (as superuser) and Valkey of one's own: their two URLs. Gone without a trace at the end.

    Call it from the main thread: the servers end with the thread that started them.
    """
    with tempfile.TemporaryDirectory(prefix="taskapi-") as directory, contextlib.ExitStack() as stack:
        state = State(Path(directory))
        postgres = PostgresServer(state, durable=durable)
        valkey = ValkeyServer(state, durable=durable)
        for server in (postgres, valkey):
            stack.callback(server.stop, timeout=10)
            server.start_on_free_port()
        yield postgres.admin_url, valkey.url
