"""PostgreSQL frozen, killed, or too slow for what is asked of it, while apis serve."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psutil

from devstack.postgres import PostgresServer
from devstack.process import Child
from devstack.server import has_ended
from devstack.state import State
from tests.faults.lifecycle_rows import agree
from tests.faults.load import Load
from tests.faults.probes import Connection, Probed, probing
from tests.faults.product import Api
from tests.faults.trial import Trial, row
from tests.faults.world import World

_LIVE = "/health/live"
_CALM = 15
"""Seconds of load before and after."""


@contextlib.asynccontextmanager
async def _own_postgres() -> AsyncIterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="taskapi-postgres-") as folder:
        server = PostgresServer(State(Path(folder)))
        try:
            server.start_on_free_port()
            yield server
        finally:
            server.stop(10)


def _family(server: PostgresServer) -> list[psutil.Process]:
    parent = psutil.Process(server.pid)
    return [parent, *parent.children(recursive=True)]


async def _answers_again(api: Api) -> None:
    while True:
        with contextlib.suppress(httpx2.HTTPError):
            if (await api.client.get("/tasks", params={"limit": 1})).status_code == 200:
                return
        await asyncio.sleep(0.05)


def _check_live(trial: Trial, probed: Probed, p99: float) -> None:
    trial.measure("live", p99=p99).extend(probed.seconds[_LIVE])
    trial.check(probed.statuses[_LIVE] == {200}, f"live answered {probed.statuses[_LIVE]}")


async def _settle(trial: Trial, world: World, load: Load) -> None:
    again = await load.repeat()
    trial.note(
        f"{load.rate} requests/s over two apis; {again} requests without an acknowledgement were repeated with their keys"
    )
    await agree(trial, world, load)


@row(
    "F28",
    "all processes of PostgreSQL frozen (`-STOP`) under load",
    "every request answered <= 3 s, with what it asked for or 503, problem+json and Retry-After; live p99 <= 100 ms; no api starts again; "
    "first 200 <= 5 s after the thaw; the ledger agrees",
    rounds=30,
    unit="seconds frozen",
)
async def frozen_under_load(trial: Trial) -> None:
    async with _own_postgres() as server, trial.world(server.admin_url) as world:
        await world.sign_off()
        apis = [await world.api(), await world.api()]
        world.worker()
        load = Load(world, [api.client for api in apis], trial.rate)
        before = await load.run(min(trial.rounds, _CALM))
        family = _family(server)
        async with load.running() as part, probing(apis[0], 10, [_LIVE]) as probed:
            for process in family:
                process.suspend()
            await asyncio.sleep(trial.rounds)
            for process in family:
                process.resume()
            thawed = time.monotonic()
            await _answers_again(apis[0])
            trial.measure("thaw to first 200", p100=5).append(time.monotonic() - thawed)
            await asyncio.sleep(min(trial.rounds, _CALM))
        _check_live(trial, probed, 0.1)
        trial.check_all(f"before: {one}" for one in before.failures)
        trial.check_all(str(one) for one in part.failures if not one.is_refusal)
        trial.measure("every answer", p100=3).extend([*part.seconds, *(one.seconds for one in part.failures)])
        trial.note(f"{len(part.failures)} of {len(part.seconds) + len(part.failures)} requests were refused")
        trial.check(all(api.running for api in apis), "an api has ended")
        await _settle(trial, world, load)


@row(
    "F29",
    "PostgreSQL killed with `-9` under load, and started again",
    "failures are 503 with Retry-After; first 200 <= 5 s after its recovery; no acknowledged write lost, none made twice by a repeat",
    rounds=5,
    unit="kills",
)
async def killed_under_load(trial: Trial) -> None:
    async with _own_postgres() as server, trial.world(server.admin_url) as world:
        await world.sign_off()
        apis = [await world.api(), await world.api()]
        world.worker()
        load = Load(world, [api.client for api in apis], trial.rate)
        async with load.running() as part:
            for number in range(trial.rounds):
                await asyncio.sleep(1 if trial.quick else 5)
                killed = time.monotonic()
                await _kill_and_start(server)
                recovered = time.monotonic()
                await asyncio.gather(*(_answers_again(api) for api in apis))
                trial.measure("kill to recovered").append(recovered - killed)
                trial.measure("recovered to first 200", p100=5).append(time.monotonic() - recovered)
                trial.progress(number + 1)
        trial.check_all(str(one) for one in part.failures if not one.is_refusal)
        trial.measure("requests").extend(part.seconds)
        trial.note(f"{len(part.failures)} of {len(part.seconds) + len(part.failures)} requests were refused")
        trial.check(all(api.running for api in apis), "an api has ended")
        await _settle(trial, world, load)


async def _kill_and_start(server: PostgresServer) -> None:
    family = _family(server)
    family[0].kill()
    # Its children end by themselves; a new server waits for the memory that they share.
    while not all(has_ended(one) for one in family[1:]) or server.running:
        await asyncio.sleep(0.02)
    server.pid_file.unlink(missing_ok=True)
    Child.start(server)  # not the server's own, which waits with the whole loop
    while not server.is_ready():
        assert server.running
        await asyncio.sleep(0.02)


@row(
    "F30",
    "requests that keep PostgreSQL busy for 2 s each, all at once, far more than there are connections",
    "who gets no connection is refused after the pool's 2 s + 0.2 s, everybody is answered within the deadline of 2.8 s + 0.2 s; live "
    "p99 <= 50 ms; another request is answered <= 3 s after the last of them",
    rounds=300,
    unit="requests at once",
)
async def too_slow(trial: Trial) -> None:
    async with trial.world() as world:
        api = await world.api()
        crowd = [Connection() for _ in range(trial.rounds)]
        async with probing(api, 20, [_LIVE]) as probed:
            # Every connection is open before, the clients' and the api's: to open them is not what is measured.
            await asyncio.gather(*(_slow(api, one, 0.05) for one in crowd))
            answers = await asyncio.gather(*(_refused_or_served(trial, api, one) for one in crowd))
            over = time.monotonic()
            await _answers_again(api)
            trial.measure("last one to next 200", p100=3).append(time.monotonic() - over)
        for one in crowd:
            one.drop()
        _check_live(trial, probed, 0.05)
        trial.note(f"{answers.count(204)} answered, {answers.count(503)} refused")


async def _slow(api: Api, connection: Connection, seconds: float) -> tuple[int, bytes]:
    port = api.client.base_url.port
    assert port is not None
    return await connection.get(port, f"/faults/slow?seconds={seconds}", api.client.headers["Authorization"])


async def _refused_or_served(trial: Trial, api: Api, connection: Connection) -> int:
    began = time.monotonic()
    status, head = await _slow(api, connection, 2)
    refused = status == 503 and b"\r\nretry-after: " in head
    trial.check(refused or status == 204, head.decode())
    # The few that got a connection after the first 2 s have until the deadline.
    seconds = trial.measure("refusals", p50=2.2, p100=3) if refused else trial.measure("answers", p100=3)
    seconds.append(time.monotonic() - began)
    return status
