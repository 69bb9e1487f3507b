"""Apis that stop, are left by their clients, are probed too often, and serve for long."""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import time
from uuid import UUID

import httpx2
import psutil

from tests.faults import edge
from tests.faults.load import Load
from tests.faults.probes import probing
from tests.faults.product import Api
from tests.faults.trial import Trial, row
from tests.faults.world import World
from tests.load import Part

DRAIN = 5
_CLIENTS_OF_STOP = 40
_STREAMS = 50
_STORM_AT_ONCE = 30
_CLOSED = re.compile(r'"component":"database".*"component_stopped"|"component_stopped".*"component":"database"')
_OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'taskapi"


def _drain(trial: Trial) -> int:
    return 1 if trial.quick else DRAIN


async def agree(trial: Trial, world: World, load: Load) -> None:
    """Everything that was asked for is done, and the ledger says so too."""
    await world.finished(load.jobs)
    trial.check_all([*await load.wrong_tasks(), *await world.wrongs()])


def report_part(trial: Trial, name: str, part: Part) -> None:
    """Its times, and each failure as one of the row."""
    trial.measure(name).extend(part.seconds)
    trial.check_all(f"{name}: {one}" for one in part.failures)


async def _stop(trial: Trial, api: Api) -> None:
    """SIGTERM, and what must be seen until the process is gone."""
    told = time.monotonic()
    api.terminate()
    # A port that accepts no more ends this with an error, and the row.
    while (await api.client.get("/health/ready")).status_code != 503:
        await asyncio.sleep(0.01)
    trial.measure("signal to not ready", p100=0.5).append(time.monotonic() - told)
    await _ended(trial, api, told, patience=20)


async def _ended(trial: Trial, api: Api, told: float, *, patience: int) -> None:
    code = await api.ended()
    trial.measure("signal to end", p100=_drain(trial) + patience).append(time.monotonic() - told)
    trial.check(code == 0, f"exit code {code}")


@row(
    "F23",
    "SIGTERM under load for one of two apis behind nginx, in turns; it starts again",
    f"0 failed requests, the ledger agrees; ready answers 503 <= 0.5 s after the signal, on a port that still accepts; ended with "
    f"code 0 <= {DRAIN} s of drain + 20 s",
    rounds=20,
    unit="stops",
)
async def replaced_behind_nginx(trial: Trial) -> None:
    edge.program()
    async with trial.world(DRAIN_SECONDS=str(_drain(trial))) as world:
        apis = [await world.api(), await world.api()]
        world.worker()
        async with edge.nginx(world, apis) as client:
            load = Load(world, [client], trial.rate)
            async with load.running() as part:
                for number in range(trial.rounds):
                    api = apis[number % 2]
                    await _stop(trial, api)
                    api.start()
                    await api.ready()
                    await asyncio.sleep(0.5 if trial.quick else 3)
                    trial.progress(number + 1)
            report_part(trial, "requests", part)
            trial.note(f"{load.rate} requests/s, {len(part.seconds)} answered, {len(load.jobs)} jobs")
            await agree(trial, world, load)


@row(
    "F24",
    f"SIGTERM for an api with {_CLIENTS_OF_STOP} busy keep-alive connections and nothing before it",
    "0 requests cut after they were sent, each connection is told to close; every task acknowledged is there",
    rounds=20,
    unit="stops",
)
async def stopped_without_a_proxy(trial: Trial) -> None:
    async with trial.world(DRAIN_SECONDS=str(_drain(trial))) as world:
        api = await world.api()
        made: set[UUID] = set()
        for number in range(trial.rounds):
            clients = [asyncio.create_task(_converse(api, made)) for _ in range(_CLIENTS_OF_STOP)]
            await asyncio.sleep(1)  # in the middle of their conversations
            told = time.monotonic()
            api.terminate()
            endings = await asyncio.gather(*clients)
            trial.check_all(f"a connection was {ending}" for ending in endings if ending != "told")
            await _ended(trial, api, told, patience=20)
            api.start()
            await api.ready()
            trial.progress(number + 1)
        there = {row["id"] for row in await world.rows.fetch("SELECT id FROM tasks")}
        trial.check(made <= there, f"{len(made - there)} tasks were acknowledged, and are not there")
        trial.note(f"{len(made)} tasks")


async def _converse(api: Api, made: set[UUID]) -> str:
    """Reads and writes over one connection until it is told to close; how that ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.base_url.port)
    common = f"Host: 127.0.0.1\r\nAuthorization: {api.client.headers['Authorization']}\r\n"
    asked = "nothing"
    try:
        while True:
            title = f'{{"title":"{secrets.token_hex(4)}"}}'
            get = f"GET /tasks?limit=1 HTTP/1.1\r\n{common}\r\n"
            post = f"POST /tasks HTTP/1.1\r\n{common}Content-Type: application/json\r\nContent-Length: {len(title)}\r\n\r\n{title}"
            asked = random.choice((get, post))
            writer.write(asked.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            if asked is post and head.startswith(b"http/1.1 201"):
                made.add(UUID(re.findall(rb'"id":"([^"]+)"', body)[0].decode()))
            elif not head.startswith(b"http/1.1 200"):
                return f"answered {head[:30]!r}"
            if b"\r\nconnection: close" in head:
                return "told"
            await asyncio.sleep(random.uniform(0, 0.3))
    except (asyncio.IncompleteReadError, OSError) as error:
        return f"cut: {type(error).__name__} after {asked.splitlines()[0]}"
    finally:
        writer.close()


@row(
    "F25",
    f"SIGTERM for an api with {_STREAMS} streams of events open",
    f"each stream ends with an event that says why; the lifespan's end ran; ended with code 0 <= {DRAIN} s of drain + 10 s; no "
    "connection to PostgreSQL is left",
    rounds=10,
    unit="stops",
)
async def stopped_with_streams(trial: Trial) -> None:
    async with trial.world(DRAIN_SECONDS=str(_drain(trial))) as world:
        await world.sign_off()
        api = await world.api()
        jobs = await api.add(_STREAMS, silent=True)
        for number in range(trial.rounds):
            opened: asyncio.Queue[UUID] = asyncio.Queue()
            streams = [asyncio.create_task(_last_event(api, job, opened)) for job in jobs]
            for _ in jobs:
                await opened.get()
            told = time.monotonic()
            api.terminate()
            await _ended(trial, api, told, patience=10)
            last = await asyncio.gather(*streams)
            trial.check_all(f"a stream ended with {one!r}" for one in last if one != "interrupted")
            trial.check(bool(_CLOSED.search(api.log)), "the database was not closed")
            left = await world.one(f"SELECT count(*) {_OURS}%'")
            trial.check(left == 0, f"{left} connections to PostgreSQL are left")
            api.start()
            await api.ready()
            trial.progress(number + 1)


async def _last_event(api: Api, job: UUID, opened: asyncio.Queue[UUID]) -> str:
    """The name of the last event of a stream, once that has ended."""
    last = "nothing"
    try:
        async with api.client.stream("GET", f"/jobs/{job}/events", timeout=60) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    last = line.removeprefix("event: ")
                    opened.put_nowait(job)
    except httpx2.HTTPError as error:
        return f"{last}, then {type(error).__name__}"
    return last


@row(
    "F31",
    "clients that leave 5 to 50 ms after they asked",
    "<= 5 s later no connection of a pool is taken and no transaction idle; never more connections than configured; 0 of the "
    "requests that follow fail",
    rounds=3000,
    unit="requests left",
)
async def left_by_clients(trial: Trial) -> None:
    token = secrets.token_hex(16)
    async with trial.world(SCRAPE_TOKEN=token) as world:
        await world.sign_off()
        api = await world.api()
        gate = asyncio.Semaphore(_STORM_AT_ONCE)
        await asyncio.gather(*(_leave(api, gate) for _ in range(trial.rounds)))
        over = time.monotonic()
        await world.until(lambda: _at_rest(world, api, token))
        trial.measure("the last one to rest", p100=5).append(time.monotonic() - over)
        open_now = await world.one(f"SELECT count(*) {_OURS}'")
        most = world.settings.database_pool_size + world.settings.database_session_pool_size
        trial.check(open_now <= most, f"{open_now} connections, {most} are configured")
        trial.progress(trial.rounds)
        part = await Load(world, [api.client], trial.rate).run(trial.rounds / 3 / trial.rate)
        report_part(trial, "requests afterwards", part)
        trial.note(f"{open_now} connections to PostgreSQL after it, {most} are configured")


async def _leave(api: Api, gate: asyncio.Semaphore) -> None:
    body = b'{"title":"nobody waits for this"}'
    common = f"Host: 127.0.0.1\r\nAuthorization: {api.client.headers['Authorization']}\r\n".encode()
    get = b"GET /tasks?limit=20 HTTP/1.1\r\n" + common + b"\r\n"
    key = f"Idempotency-Key: {secrets.token_hex(16)}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    post = b"POST /tasks HTTP/1.1\r\n" + common + key.encode() + body
    async with gate:
        _, writer = await asyncio.open_connection("127.0.0.1", api.client.base_url.port)
        writer.write(random.choice((get, post)))
        await asyncio.sleep(random.uniform(0.005, 0.05))  # as long as it waits
        writer.transport.abort()


async def _at_rest(world: World, api: Api, token: str) -> bool:
    figures = (await api.client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).raise_for_status().text
    taken = re.findall(r"^taskapi_database_pool_in_use\{.*\} (\S+)$", figures, re.MULTILINE)
    idle = await world.one(f"SELECT count(*) {_OURS}%' AND state LIKE 'idle in transaction%'")
    return [float(one) for one in taken] == [0, 0] and not idle


@row(
    "F32",
    "200 probes a second for live and ready, under load",
    "at most one round of checks a second in each process; ready p99 <= 20 ms; p99 of other requests at most 10 % more than without",
    rounds=60,
    unit="seconds",
)
async def probed_too_often(trial: Trial) -> None:
    async with trial.world() as world:
        await world.sign_off()
        apis = [await world.api(), await world.api()]
        load = Load(world, [api.client for api in apis], trial.rate)
        report_part(trial, "requests without", await load.run(trial.rounds))
        began, before = time.monotonic(), await _checks(world)
        async with probing(apis[0], 200, ("/health/live", "/health/ready")) as probed:
            report_part(trial, "requests meanwhile", await load.run(trial.rounds))
        # One more: a round may have begun just before the first count.
        rounds = (await _checks(world) - before) / len(apis)
        trial.check(rounds <= time.monotonic() - began + 1, f"{rounds:.0f} rounds of checks in {trial.rounds} s")
        for path, limit in (("/health/live", None), ("/health/ready", 0.02)):
            trial.measure(path, p99=limit).extend(probed.seconds[path])
            trial.check(probed.statuses[path] == {200}, f"{path} answered {probed.statuses[path]}")
        trial.measures["requests meanwhile"].p99 = round(1.1 * trial.measures["requests without"].at(99), 3)
        trial.note(f"{rounds:.0f} rounds of checks in each process; {load.rate} requests/s over two apis")
        trial.check_all(await load.wrong_tasks())


async def _checks(world: World) -> float:
    """Rounds of checks that all processes have made: each sends one `PING` to Redis."""
    return float((await world.redis.info("commandstats")).get("cmdstat_ping", {"calls": 0})["calls"])


@row(
    "F34",
    "load for half an hour, a tenth of it jobs",
    "the memory of no process grows by more than 5 % after the first sixth, descriptors stay as many; p99 of the last sixth <= 1.2x that of the first",
    rounds=30,
    unit="minutes",
)
async def soak(trial: Trial) -> None:
    # Nobody signs in again meanwhile.
    async with trial.world(ACCESS_TOKEN_SECONDS="3600") as world:
        apis = [await world.api(), await world.api()]
        worker = world.worker()
        load = Load(world, [api.client for api in apis], trial.rate)
        sixth = max(1, trial.rounds // 6)
        base: dict[str, tuple[int, int]] = {}
        for minute in range(trial.rounds):
            when = (
                "in the first sixth"
                if minute < sixth
                else "in the last sixth"
                if minute >= trial.rounds - sixth
                else "between"
            )
            report_part(trial, f"requests {when}", await load.run(2 if trial.quick else 60))
            if minute + 1 == sixth:
                base = {process.name: _size(process.pid) for process in (*apis, worker)}
            trial.progress(minute + 1)
        for process in (*apis, worker):
            (memory, files), (memory_then, files_then) = _size(process.pid), base[process.name]
            trial.note(
                f"{process.name}: {memory_then >> 20} to {memory >> 20} MiB, {files_then} to {files} descriptors"
            )
            trial.check(
                trial.quick or memory <= 1.05 * memory_then,
                f"{process.name} grew from {memory_then >> 20} to {memory >> 20} MiB",
            )
            trial.check(files <= files_then + 2, f"{process.name} had {files_then} descriptors, now {files}")
        trial.measures["requests in the last sixth"].p99 = round(
            1.2 * trial.measures["requests in the first sixth"].at(99), 3
        )
        await agree(trial, world, load)


def _size(pid: int) -> tuple[int, int]:
    """Bytes in memory and descriptors, of a process and its children."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(one.memory_info().rss for one in family), sum(one.num_fds() for one in family)
