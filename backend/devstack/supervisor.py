"""`./run`: servers, api, worker and beat on one state directory, kept running until somebody says stop."""

import contextlib
import http.client
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.postgres import PostgresServer
from devstack.process import Child, DevstackError, on_stop_signal, say, wait_until
from devstack.server import has_ended
from devstack.state import State, port_is_free
from devstack.valkey import ValkeyServer

BACKEND = Path(__file__).parents[1]
PRODUCT = [sys.executable, "-P", "-m", "app.cli"]
MARK = "TASKAPI_STATE_DIR"
"""In the environment of everything that a stack starts: how the next one knows what an earlier one left."""

READY_TIMEOUT = 180
"""Seconds from the start of the api to its first `ready`."""
FIRST_STARTS = 3
"""How often a process may fail to start before `./run` gives up. Once the api was ready it does not give up."""
PRODUCT_STOPS_WITHIN = 12.0
"""Seconds; the budget that the product is told, below, is 11."""
STOPS_WITHIN = 14.0
"""Seconds for everything."""
CRASH_IS_FAILED_START = 30.0
KILL_IS_FAILED_START = 1.0
"""Seconds of life. A broken program may import for a while before it says so; but that somebody killed a process
says little about its start."""
LONGEST_PAUSE = 15.0
"""Seconds between two starts of a process that does not start well."""


@dataclass
class Watch:
    """Keeps one child running: starts it again at once, and later and later only while its starts fail."""

    child: Child
    started_at: float = 0.0
    failed_starts: int = 0
    due_at: float | None = None

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.child.start()

    def tend(self) -> None:
        if self.child.running:
            return
        now = time.monotonic()
        if self.due_at is None:
            limit = CRASH_IS_FAILED_START if (self.child.exit_code or 0) > 0 else KILL_IS_FAILED_START
            self.failed_starts = self.failed_starts + 1 if now - self.started_at < limit else 0
            pause = min(2.0 ** (self.failed_starts - 2), LONGEST_PAUSE) if self.failed_starts > 1 else 0.0
            self.due_at = now + pause
            after = f" in {pause:.0f} s" if pause else ""
            say(f"{self.child.name} (pid {self.child.pid}) {self.child.how_it_ended()}; starting it again{after}")
        if now >= self.due_at:
            self.due_at = None
            try:
                self.start()
            except DevstackError as error:
                say(str(error))
            else:
                say(f"{self.child.name} started again (pid {self.child.pid})")


class Stack:
    """Everything that `./run` starts. The caller holds the state directory's lock."""

    def __init__(self, state: State, port: int, product: list[str] | None = None) -> None:
        """`product` is the command that takes `migrate`, `serve`, `worker` and `beat`: by default, our own."""
        self.state = state
        self.port = port
        self.product = product or PRODUCT
        self.address = f"http://127.0.0.1:{port}"
        self._servers: list[Watch] = []
        self._processes: list[Watch] = []

    def clear_the_way(self) -> None:
        """End what a killed `./run` left behind; DevstackError when the api's port is somebody else's."""
        # The kernel has asked them to stop when it died, but some may take their time.
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == str(self.state.directory):
                    say(f"ending pid {process.pid}, left over by a ./run that was killed")
                    process.kill()
                    wait_until(lambda: has_ended(process), 5)  # noqa: B023 (called at once)
        if not port_is_free(self.port):
            raise DevstackError(f"port {self.port} is taken, or not for us: choose another with PORT=... ./run")

    def start(self) -> None:
        """Return when the api says that it is ready; DevstackError when that does not come to pass."""
        database_url = os.environ.get("DATABASE_URL") or self._start_server(PostgresServer(self.state))
        redis_url = os.environ.get("REDIS_URL") or self._start_server(ValkeyServer(self.state))
        environment = self._environment(database_url, redis_url)
        self.state.remember("environment", environment)
        # HOST: some shells export the machine's name under it. PORT: a stack of one's own may be on another one.
        fixed = {"HOST": "127.0.0.1", "PORT": str(self.port), MARK: str(self.state.directory), "PYTHONUNBUFFERED": "1"}
        environment = os.environ | environment | fixed
        self._migrate(environment)
        say(f"starting api (on port {self.port}), worker and beat")
        for name, command in (("api", "serve"), ("worker", "worker"), ("beat", "beat")):
            child = Child(name, [*self.product, command], cwd=BACKEND, env=environment)
            self._processes.append(Watch(child))
            self._processes[-1].start()
        deadline = time.monotonic() + READY_TIMEOUT

        def up() -> bool:
            for watch in self._processes:
                if watch.failed_starts >= FIRST_STARTS:
                    raise DevstackError(f"{watch.child.name} does not start: see what it says above")
            if time.monotonic() > deadline:
                raise DevstackError(f"the api was not up within {READY_TIMEOUT} s: see what it says above")
            return self._is_ready()

        self.supervise(until=up)

    def supervise(self, until: Callable[[], bool] = lambda: False) -> None:
        while not until():
            for watch in (*self._servers, *self._processes):
                watch.tend()
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop what was started; the servers last, so that the rest can finish what it has begun."""
        began = time.monotonic()
        children = [watch.child for watch in self._processes]
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop(began + PRODUCT_STOPS_WITHIN - time.monotonic())
        for watch in reversed(self._servers):
            watch.child.stop(began + STOPS_WITHIN - time.monotonic())

    def _start_server(self, server: PostgresServer | ValkeyServer) -> str:
        say(f"starting {server.name} in {server.cwd}")
        watch = Watch(server, started_at=time.monotonic())
        self._servers.append(watch)
        server.start_on_free_port()
        return server.url

    def _environment(self, database_url: str, redis_url: str) -> dict[str, str]:
        """What the product is told; a variable of the caller's own wins."""
        settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SECRET_KEY": self.state.secret("secret_key"),
            "ENVIRONMENT": "development",
            "PUBLIC_URL": self.address,
            "STORAGE_DIR": str(self.state.directory / "files"),
            "LOG_FORMAT": "console",
            "DRAIN_SECONDS": "3",
            "GRACEFUL_SECONDS": "5",
            "TEARDOWN_SECONDS": "3",
            "SHUTDOWN_TIMEOUT": "11",
        }
        return {name: os.environ.get(name) or value for name, value in settings.items()}

    def _migrate(self, environment: dict[str, str]) -> None:
        say("bringing the database to the newest schema")
        migrate = Child("migrate", [*self.product, "migrate"], cwd=BACKEND, env=environment)
        migrate.start()
        try:
            wait_until(lambda: not migrate.running, float("inf"))
        finally:
            migrate.stop(5)
        if migrate.exit_code:
            raise DevstackError(f"migrate {migrate.how_it_ended()}")

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def running_stack(directory: Path, port: int, product: list[str] | None = None) -> Iterator[Stack]:
    """A ready stack; everything is stopped at the end, also of a start that fails."""
    state = State(directory)
    with state.lock():
        stack = Stack(state, port, product)
        stack.clear_the_way()
        try:
            stack.start()
            yield stack
        finally:
            on_stop_signal(signal.SIG_IGN)
            say("stopping")
            stack.stop()


def dev(directory: Path, port: int, product: list[str] | None = None) -> int:
    """Run a stack until SIGINT, SIGTERM or SIGHUP, and return the exit code."""
    on_stop_signal(signal.default_int_handler)
    started = time.monotonic()
    try:
        with running_stack(directory, port, product) as stack:
            _welcome(stack, time.monotonic() - started)
            stack.supervise()
    except KeyboardInterrupt:
        say("stopped")
    return 0


def _welcome(stack: Stack, seconds: float) -> None:
    address = stack.address
    say(
        f"""
ready      {address} after {seconds:.1f} s; documentation: {address}/docs
register   curl {address}/auth/register -H 'Content-Type: application/json' \\
             -d '{{"email": "you@example.org", "password": "a long pass phrase"}}'
sign in    curl {address}/auth/login -d username=you@example.org -d 'password=a long pass phrase'
go on      curl {address}/tasks -H 'Authorization: Bearer <access_token>'
stop       Ctrl-C; the data stays in {stack.state.directory}
""",
        name=None,
    )
