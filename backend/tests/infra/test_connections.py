from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from app.infra import connections
from app.infra.connections import Connections
from app.infra.database import LOST

PID = "SELECT pg_backend_pid() AS pid"
ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"


@pytest.fixture
async def connect(database_url: str) -> Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]]:
    return lambda: asyncpg.connect(database_url.replace("+asyncpg", ""))


@pytest.fixture
async def two(connect: Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]]) -> AsyncIterator[Connections]:
    made = Connections(2, connect)
    yield made
    await made.close()


@pytest.fixture
async def witness(
    connect: Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]],
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await connect()
    yield connection
    await connection.close()


async def pid_of(two: Connections) -> int:
    (row,) = await two.fetch(PID, ())
    return int(row["pid"])


async def test_one_after_the_other_takes_one_connection(two: Connections) -> None:
    assert len({await pid_of(two) for _ in range(5)}) == 1


async def test_many_at_once_share_the_connections_there_are(two: Connections) -> None:
    pids = await asyncio.gather(*(pid_of(two) for _ in range(20)))
    assert len({*pids}) == 2
    assert two.taken == 0


async def test_a_statement_that_is_given_up_takes_its_connection_along(
    two: Connections, witness: asyncpg.Connection[asyncpg.Record]
) -> None:
    pid = await pid_of(two)
    stuck = asyncio.create_task(two.fetch("SELECT pg_sleep(600)", ()))
    while not await witness.fetchval(ACTIVE, pid):
        await asyncio.sleep(0)
    assert two.taken == 1
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    assert two.taken == 0
    assert await pid_of(two) != pid


async def test_a_connection_that_the_server_ended_is_replaced(
    two: Connections, witness: asyncpg.Connection[asyncpg.Record]
) -> None:
    pid = await pid_of(two)
    await witness.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    try:
        new = await pid_of(two)
    except LOST:  # the news was not here yet
        new = await pid_of(two)
    assert new != pid


async def test_a_connection_that_is_ended_in_the_middle_of_a_statement_is_not_used_again(two: Connections) -> None:
    for _ in range(5):
        with pytest.raises(LOST):
            await two.fetch("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(600)", ())
        await pid_of(two)


async def test_a_connection_that_was_idle_for_long_is_opened_anew(
    two: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await pid_of(two)
    monkeypatch.setattr(connections, "_IDLE_SECONDS", -1)
    assert await pid_of(two) != first


async def test_a_server_that_cannot_be_reached_costs_no_place(database_url: str) -> None:
    async def refuse() -> asyncpg.Connection[asyncpg.Record]:
        raise ConnectionRefusedError

    unreachable = Connections(1, refuse)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await unreachable.fetch(PID, ())
    assert unreachable.taken == 0


async def test_closing_waits_for_what_is_under_way(
    two: Connections, witness: asyncpg.Connection[asyncpg.Record]
) -> None:
    pid = await pid_of(two)
    await witness.execute("SELECT pg_advisory_lock(1)")
    waiting = asyncio.create_task(two.fetch("SELECT pg_advisory_lock(1), 7 AS seven", ()))
    while not await witness.fetchval(ACTIVE, pid):
        await asyncio.sleep(0)
    closing = asyncio.create_task(two.close())
    await witness.execute("SELECT pg_advisory_unlock(1)")
    assert (await waiting)[0]["seven"] == 7
    await closing
    with pytest.raises(asyncpg.InterfaceError):
        await pid_of(two)
