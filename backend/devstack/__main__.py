"""The commands of `./run` that need servers: `python -m devstack COMMAND [ARGUMENTS]`."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from devstack.private import private_servers
from devstack.process import DevstackError, on_stop_signal, run_in_foreground, say
from devstack.state import State, free_port
from devstack.supervisor import BACKEND, PRODUCT, dev, running_stack

PYTHON = [sys.executable, "-P"]
STATE_DIR = Path(os.environ.get("STATE_DIR") or BACKEND.parent / ".state")


def main(command: str, arguments: list[str]) -> int:
    match command:
        case "dev" if not arguments:
            return dev(STATE_DIR, _port())
        case "test":
            # Later options win: `-n0` and the like of the caller's count.
            workers = ["-n", "logical", "--maxprocesses", "4"]
            with _servers(durable=False) as environment:
                pytest = [*PYTHON, "-m", "pytest", *workers, *arguments]
                # The only signal that pytest cleans up after.
                return run_in_foreground(pytest, cwd=BACKEND, env=environment, on_terminate=signal.SIGINT)
        case "bench":
            with _servers(durable=True) as environment:
                return run_in_foreground([*PYTHON, "-m", "bench", *arguments], cwd=Path.cwd(), env=environment)
        case "faults":
            with _servers(durable=True) as environment:
                return run_in_foreground([*PYTHON, "-m", "tests.faults", *arguments], cwd=Path.cwd(), env=environment)
        case "demo" if not arguments:
            return _demo()
        case "taskapi":
            _taskapi(arguments)
        case "migrate":
            _taskapi(["migrate", *arguments])
    raise DevstackError(f"{command} does not take {' '.join(arguments)}: see ./run help")


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not (text.isdecimal() and 0 < int(text) < 2**16):
        raise DevstackError(f"PORT={text} is not a port: 1 to 65535")
    return int(text)


@contextlib.contextmanager
def _servers(*, durable: bool) -> Iterator[dict[str, str]]:
    """An environment with TEST_DATABASE_URL (a superuser's) and TEST_REDIS_URL: the caller's, or of private servers."""
    environment = dict(os.environ)
    if environment.get("TEST_DATABASE_URL") and environment.get("TEST_REDIS_URL"):
        yield environment
        return
    with private_servers(durable=durable) as (database_url, redis_url):
        yield environment | {"TEST_DATABASE_URL": database_url, "TEST_REDIS_URL": redis_url}


def _running_environment() -> dict[str, str] | None:
    """What the product of the running stack was told, or None when no stack runs on STATE_DIR."""
    state = State(STATE_DIR)
    environment: dict[str, str] | None = state.recall("environment")
    return environment if state.in_use() else None


def _taskapi(arguments: list[str]) -> NoReturn:
    running = _running_environment()
    if running is None and not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        raise DevstackError(f"no stack runs on {STATE_DIR}: start one with ./run, or set DATABASE_URL and REDIS_URL")
    # In the caller's folder and on the caller's terminal: file names and standard input are the caller's.
    os.execve(sys.executable, [*PRODUCT, *arguments], (running or {}) | os.environ)  # noqa: S606 (our own program)


def _demo() -> int:
    tour = [*PYTHON, "-m", "demo"]
    environment = dict(os.environ)
    running = _running_environment()
    if running:
        return run_in_foreground([*tour, running["PUBLIC_URL"]], cwd=BACKEND, env=environment)
    os.environ.setdefault("LOG_LEVEL", "WARNING")  # the tour's own lines are what matters
    with (
        tempfile.TemporaryDirectory(prefix="taskapi-") as directory,
        running_stack(Path(directory), free_port()) as stack,
    ):
        return run_in_foreground([*tour, stack.address], cwd=BACKEND, env=environment)


if __name__ == "__main__":
    on_stop_signal(signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (DevstackError, OSError) as error:
        say(str(error))
        sys.exit(1)
