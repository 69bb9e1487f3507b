"""Real processes and real signals, on a stand-in for the product so that each start takes a second."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from devstack.process import wait_until
from devstack.server import has_ended
from devstack.state import free_port, port_is_free
from devstack.supervisor import BACKEND

STAND_IN = Path(__file__).with_name("stand_in.py")
DEV_ON_STAND_IN = (
    "import sys; from pathlib import Path; from devstack.supervisor import dev;"
    f"sys.exit(dev(Path(sys.argv[1]), int(sys.argv[2]), [sys.executable, {str(STAND_IN)!r}]))"
)


class Run:
    """A `./run` as a child of the test."""

    def __init__(self, state_dir, port, *, command=None, **variables):
        environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        environment |= {"PYTHONPATH": str(BACKEND), "STATE_DIR": str(state_dir), "PORT": str(port)} | variables
        self.state_dir = state_dir
        self.port = port
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, *(command or ["-c", DEV_ON_STAND_IN, str(state_dir), str(port)])],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def wait_for(self, pattern):
        """The match of the first line from here on that has `pattern`."""
        for line in self.process.stdout:
            self.output += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"ended without {pattern!r}:\n{self.output}")

    def wait_for_pool(self):
        """The process of the stand-in's pool, when the stack is ready too: either may come first."""
        ready, pool = False, None
        while not (ready and pool):
            found = self.wait_for(r"^ready +http|pool of one: (\d+)")
            ready, pool = ready or not found[1], pool or found[1]
        return psutil.Process(int(pool))

    def wait(self):
        self.output += self.process.stdout.read()
        return self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.wait()
        self.process.stdout.close()

    def told(self):
        """What the product was told."""
        return json.loads((self.state_dir / "state.json").read_text())["environment"]

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, command):
        return next(process for process in self.family() if command in process.cmdline()[2:])


@pytest.fixture
def run(tmp_path):
    runs = []

    def start(**options):
        state_dir = options.pop("state_dir", tmp_path / "state")
        port = options.pop("port", None) or free_port()
        runs.append(Run(state_dir, port, **options))
        return runs[-1]

    yield start
    for each in runs:
        each.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_leaves_no_process_and_no_port_and_exits_0(run, number):
    stack = run()
    stack.wait_for("^ready +http")
    family = stack.family()
    ports = [stack.port, *map(int, re.findall(r"127\.0\.0\.1:(\d+)", " ".join(stack.told().values())))]
    assert len(family) > 5
    assert not any(port_is_free(port) for port in ports)

    stack.process.send_signal(number)

    assert stack.wait() == 0
    assert wait_until(lambda: all(map(has_ended, family)), 5)
    assert all(port_is_free(port) for port in ports)


def test_asked_to_stop_while_it_starts_it_leaves_no_process(run):
    stack = run()
    stack.wait_for("starting postgres")
    assert wait_until(stack.family, 5)
    family = stack.family()
    stack.process.send_signal(signal.SIGTERM)
    assert stack.wait() == 0
    assert "ready" not in stack.output
    assert wait_until(lambda: all(map(has_ended, family)), 5)


@pytest.mark.parametrize(("command", "name"), [("serve", "api"), ("worker", "worker"), ("beat", "beat")])
def test_a_process_that_dies_is_started_again(run, command, name):
    stack = run()
    stack.wait_for("^ready +http")
    stack.child(command).kill()
    killed = stack.wait_for(rf"{name} \(pid (\d+)\) was killed by SIGKILL; starting it again$")
    started = stack.wait_for(rf"{name} started again \(pid (\d+)\)")
    assert killed[1] != started[1]
    assert int(started[1]) in [process.pid for process in stack.family()]


def test_a_killed_worker_takes_its_pool_with_it(run):
    stack = run()
    pool = stack.wait_for_pool()
    stack.child("worker").kill()
    stack.wait_for("worker started again")
    assert wait_until(lambda: has_ended(pool), 5)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
async def test_a_server_that_dies_is_started_again_with_its_data_on_its_port(run, name):
    stack = run()
    stack.wait_for("^ready +http")
    told = stack.told()
    connection = await asyncpg.connect(told["DATABASE_URL"])
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    await connection.close()
    with redis.Redis.from_url(told["REDIS_URL"]) as client:
        client.set("kept", "7")
        client.execute_command("WAITAOF", 1, 0, 5000)

    next(p for p in psutil.Process(stack.process.pid).children() if p.name().startswith(name)).kill()

    stack.wait_for(f"{name} started again")
    connection = await asyncpg.connect(told["DATABASE_URL"])
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()
    with redis.Redis.from_url(told["REDIS_URL"]) as client:
        assert client.get("kept") == b"7"


def test_killed_itself_it_takes_its_children_along(run):
    stack = run()
    pool = stack.wait_for_pool()
    children = psutil.Process(stack.process.pid).children()
    stack.process.kill()
    assert len(children) == 5
    assert wait_until(lambda: all(map(has_ended, children)), 10)
    pool.kill()  # the stand-in's worker does not end its pool; the next ./run here would


async def test_killed_itself_it_starts_again_with_its_data_whatever_its_children_still_do(run):
    first = run(STUBBORN="serve worker")
    first.wait_for("^ready +http")
    connection = await asyncpg.connect(first.told()["DATABASE_URL"])
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    family = first.family()
    first.process.kill()
    first.process.wait()

    second = run(port=first.port)

    second.wait_for("left over by a ./run that was killed")
    second.wait_for("^ready +http")
    assert all(map(has_ended, family))
    assert second.told() == first.told()
    connection = await asyncpg.connect(second.told()["DATABASE_URL"])
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()


def test_a_second_run_on_the_same_state_directory_says_so(run):
    first = run()
    first.wait_for("^ready +http")
    second = run(command=["-m", "devstack", "dev"])
    assert second.wait() == 1
    assert f"another ./run (pid {first.process.pid}) is using {first.state_dir}" in second.output


def test_the_product_command_line_works_on_the_running_stack(run):
    stack = run()
    stack.wait_for("^ready +http")
    migrate = run(state_dir=stack.state_dir, command=["-m", "devstack", "taskapi", "migrate"])
    assert migrate.wait() == 0, migrate.output
    assert "migrating from nothing to" in migrate.output


def test_without_a_running_stack_the_product_command_line_says_what_is_missing(run):
    refused = run(command=["-m", "devstack", "taskapi", "migrate", "--check"])
    assert refused.wait() == 1
    assert f"no stack runs on {refused.state_dir}" in refused.output


def test_a_port_that_is_taken_is_named(run):
    first = run()
    first.wait_for("^ready +http")
    second = run(state_dir=first.state_dir.with_name("other"), port=first.port, command=["-m", "devstack", "dev"])
    assert second.wait() == 1
    assert f"port {first.port} is taken" in second.output


@pytest.mark.parametrize(("command", "said"), [("migrate", "migrate ended with"), ("serve", "api does not start")])
def test_a_start_that_fails_ends_with_everything_stopped(run, command, said):
    stack = run(FAILING=command)
    stack.wait_for("starting valkey")
    family = stack.family()
    assert stack.wait() == 1
    assert "exit code 3" in stack.output
    assert said in stack.output
    assert wait_until(lambda: all(map(has_ended, family)), 5)


def test_servers_of_the_caller_are_used_and_none_is_started(run):
    given = {"DATABASE_URL": "postgresql://taskapi@db.example/taskapi", "REDIS_URL": "redis://redis.example/0"}
    stack = run(**given)
    stack.wait_for("^ready +http")
    assert given.items() <= stack.told().items()
    assert not [process for process in stack.family() if process.name() in ("postgres", "valkey-server")]
