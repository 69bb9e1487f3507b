"""Rounds in alternation, and the ratios that come of them."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.client import Burst, burst
from bench.workloads import BESIDE_CONNECTIONS, WORKLOADS, Target, WrongAnswer
from devstack.process import Child, DevstackError, wait_until
from devstack.state import free_port
from devstack.supervisor import BACKEND, PRODUCT

RATE_LIMIT_SCALE = 1_000_000
"""The rate limits stay on, with amounts that no burst reaches."""
_FLOOR = [sys.executable, "-P", "-m", "uvicorn", "bench.floor:app", "--loop", "uvloop", "--http", "httptools"]
_HEAD_START = 0.3
"""Seconds that the work beside runs before the work that is measured, and after it."""


@dataclass(frozen=True)
class Options:
    rounds: int = 5
    seconds: float = 1.5
    connections: int = 32


@dataclass(frozen=True)
class Round:
    """What one burst cost: CPU of the server's processes in milliseconds per request, answers a second, p99 in ms."""

    cpu: float
    rate: float
    p99: float


@dataclass
class Figures:
    """By work and target, the rounds in their order."""

    rounds: dict[str, dict[str, list[Round]]] = field(default_factory=dict)

    def ratio(self, work: str, figure: str, target: str = "product", base: str = "floor") -> tuple[float, float, float]:
        """The median of the rounds' ratios, with the lowest and the highest."""
        both = zip(self.rounds[work][target], self.rounds[work][base], strict=True)
        ratios = [getattr(mine, figure) / getattr(theirs, figure) for mine, theirs in both]
        return statistics.median(ratios), min(ratios), max(ratios)

    def median(self, work: str, figure: str, target: str = "product") -> float:
        return float(statistics.median(getattr(one, figure) for one in self.rounds[work][target]))


def product_environment(database_url: str, redis_url: str, port: int) -> dict[str, str]:
    """The shipped configuration but for where things are, and for the amounts of the rate limits."""
    return os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PYTHONPATH": str(BACKEND),
        "SECRET_KEY": secrets.token_hex(32),
        "RATE_LIMIT_SCALE": str(RATE_LIMIT_SCALE),
        "DRAIN_SECONDS": "0",
    }


@contextmanager
def serving(database_url: str, redis_url: str, users: Sequence[dict[str, Any]]) -> Iterator[dict[Target, int]]:
    """The product and the floor on the loaded database, one process each: the targets with their process ids."""
    ports = {"product": free_port(), "floor": free_port()}
    environments = {
        "product": product_environment(database_url, redis_url, ports["product"]),
        "floor": os.environ | {"FLOOR_DATABASE_URL": database_url, "PYTHONPATH": str(BACKEND)},
    }
    commands = {
        "product": [*PRODUCT, "serve"],
        "floor": [*_FLOOR, "--port", str(ports["floor"]), "--no-access-log", "--log-level", "warning"],
    }
    with tempfile.TemporaryDirectory(prefix="taskapi-bench-") as directory:
        children = {}
        try:
            for name, command in commands.items():
                children[name] = Child(name, command, cwd=Path(directory), env=environments[name])
                children[name].log = Path(directory) / f"{name}.log"
                children[name].start()
            targets = {}
            for name, child in children.items():
                target = Target(name, ports[name], users)
                _wait_for(target, child)
                targets[target] = child.pid or 0
            yield targets
        finally:
            for child in children.values():
                child.stop(10)


def _wait_for(target: Target, child: Child) -> None:
    def ready() -> bool:
        try:
            target.check("W7R")
        except (OSError, WrongAnswer):
            return not child.running
        return True

    if not (wait_until(ready, 60) and child.running):
        said = child.log.read_text(errors="replace")[-2000:] if child.log else ""
        raise DevstackError(f"{target.name} did not start:\n{said}")


def measure(
    targets: dict[Target, int], works: Sequence[str], options: Options, say: Callable[[str], None] = print
) -> Figures:
    """Every work on every target in turn. Raises WrongAnswer when one does not do the work."""
    figures = Figures()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as clients:
        for work in works:
            for target in targets:
                target.sign_in()
                target.check(work)
            runs = {target: _Run(work, target, pid, clients, options) for target, pid in targets.items()}
            rounds: dict[str, list[Round]] = {target.name: [] for target in targets}
            for number in range(options.rounds + 1):
                turn = number % len(runs)
                for target in (*list(runs)[turn:], *list(runs)[:turn]):
                    one = runs[target].once(number)
                    if number:  # the first one warms up
                        rounds[target.name].append(one)
                say(_line(work, number, options.rounds, rounds))
            figures.rounds[work] = rounds
    return figures


def _line(work: str, number: int, rounds: int, so_far: dict[str, list[Round]]) -> str:
    if not number:
        return f"{work:<4} {WORKLOADS[work].title}"
    cpu = ", ".join(f"{name} {one[-1].cpu:.3f} ms" for name, one in so_far.items())
    return f"{work:<4} round {number} of {rounds}: CPU per request: {cpu}"


class _Run:
    """One work on one target."""

    def __init__(self, work: str, target: Target, pid: int, clients: ProcessPoolExecutor, options: Options) -> None:
        workload = WORKLOADS[work]
        self._target = target
        self._pid = pid
        self._clients = clients
        self._seconds = options.seconds
        self._requests = target.requests(work)
        self._connections = workload.connections or options.connections
        self._beside = target.requests(workload.beside) if workload.beside else None
        self._beside_connections = BESIDE_CONNECTIONS.get(workload.beside or "", options.connections)

    def once(self, seed: int) -> Round:
        beside = None
        if self._beside is not None:
            beside = self._start(self._beside, self._seconds + 2 * _HEAD_START, self._beside_connections, seed)
            time.sleep(_HEAD_START)
        before = cpu_seconds(self._pid)
        result = self._start(self._requests, self._seconds, self._connections, seed).result()
        spent = cpu_seconds(self._pid) - before
        failures = dict(result.failures)
        if beside is not None:
            failures |= beside.result().failures
        if failures or not result.latencies:
            raise WrongAnswer(f"{self._target.name}: failed answers by status (0: connection lost): {failures}")
        return Round(1000 * spent / len(result.latencies), result.rate, result.p99)

    def _start(self, requests: Sequence[bytes], seconds: float, connections: int, seed: int) -> Future[Burst]:
        return self._clients.submit(burst, self._target.port, requests, seconds, connections, seed)


def cpu_seconds(pid: int) -> float:
    """What the process and its children have spent on a CPU."""
    server = psutil.Process(pid)
    return sum(sum(one.cpu_times()[:2]) for one in (server, *server.children(recursive=True)))
