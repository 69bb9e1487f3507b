"""The stack under test: real processes, each a group of its own, and a network between them that can be taken away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.infra import migrations
from app.infra.broker import Broker
from app.infra.database import Database
from app.infra.settings import Settings
from app.worker import JobArgs, Relay, enqueue
from devstack.process import Child
from devstack.state import State, free_port
from devstack.valkey import ValkeyServer
from tests.faults.kinds import SINK_PORT, WorkArgs
from tests.faults.product import Api, Process
from tests.faults.sink import Sink
from tests.proxy import Proxy

BACKEND = Path(__file__).parents[2]
T = TypeVar("T")

_WITNESSES = """
    CREATE TABLE faults_effects (job_id uuid, attempt int);
    CREATE TABLE faults_stale (job_id uuid, attempt int, what text);
    CREATE TABLE faults_history (id bigserial, job_id uuid, at timestamptz DEFAULT clock_timestamp(), before text, state text, attempt int);
    CREATE INDEX ON faults_history (job_id);

    CREATE FUNCTION faults_note_state() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO faults_history (job_id, before, state, attempt)
        VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state, NEW.attempt);
        RETURN NULL;
    END $$;
    CREATE TRIGGER added AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION faults_note_state();
    CREATE TRIGGER moved AFTER UPDATE ON jobs FOR EACH ROW
        WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.attempt IS DISTINCT FROM NEW.attempt)
        EXECUTE FUNCTION faults_note_state();

    -- At the commit of an effect: is the attempt that made it still the one that holds the job?
    CREATE FUNCTION faults_check_effect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NOT EXISTS (SELECT FROM jobs WHERE id = NEW.job_id AND attempt = NEW.attempt AND state = 'running') THEN
            INSERT INTO faults_stale VALUES (NEW.job_id, NEW.attempt, 'effect');
        END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER held AFTER INSERT ON faults_effects DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION faults_check_effect();
"""
"""What the database itself writes down, whoever causes it: the oracle does not ask the code that is being tried."""

_MOVES = {
    None: {"available", "scheduled"},
    "scheduled": {"available", "cancelled", "discarded"},
    "available": {"running", "cancelled", "discarded"},
    "running": {"completed", "cancelled", "discarded", "available", "scheduled"},
}


def _at_port(url: str, port: int, path: str | None = None) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rsplit("@", 1)[0] + "@" if "@" in parts.netloc else ""
    return urlunsplit(parts._replace(netloc=f"{address}127.0.0.1:{port}", path=path or parts.path))


class World:
    """PostgreSQL (a database of its own), a Valkey of its own, a proxy before each, the sink, and what is started on them."""

    def __init__(self, directory: Path, admin_url: str, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self._admin_url = admin_url
        self._overrides = dict(settings)
        self._name = f"faults_{secrets.token_hex(6)}"
        self.processes: list[Process] = []
        self._stack = contextlib.AsyncExitStack()
        self._authorization: str | None = None
        self.sink = Sink()
        self.promised: set[UUID] = set()
        """The ledger: jobs whose creation was acknowledged."""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _admin(self, sql: str) -> None:
        admin = await asyncpg.connect(self._admin_url)
        await admin.execute(sql)
        await admin.close()

    async def _start(self) -> None:
        leave = self._stack.push_async_callback
        await self._admin(f"CREATE DATABASE {self._name}")
        leave(self._admin, f"DROP DATABASE {self._name} WITH (FORCE)")
        self._database_url = _at_port(self._admin_url, urlsplit(self._admin_url).port or 5432, f"/{self._name}")
        url = self._database_url.replace("postgresql://", "postgresql+asyncpg://")
        await migrations.upgrade(url, say=lambda _: None)
        self.valkey = ValkeyServer(State(self.directory), durable=False)
        self._stack.callback(self._stop_valkey)
        self.valkey.start_on_free_port()
        self.to_postgres = await self.proxy(self._database_url)
        self.to_redis = await self.proxy(self.valkey.url)
        await self.sink.start()
        leave(self.sink.stop)
        self.environment = self._environment()
        ours = {**self.environment, "DATABASE_URL": self._database_url, "REDIS_URL": self.valkey.url}
        self.settings = Settings(**{name.lower(): value for name, value in ours.items()})  # type: ignore[arg-type]
        self.rows = await asyncpg.create_pool(self._database_url, min_size=0, max_size=4)
        leave(self.rows.close)
        await self.rows.execute(_WITNESSES)
        self.redis = Redis.from_url(self.valkey.url)
        leave(self.redis.aclose)
        self._database = Database(self.settings)
        leave(self._database.stop)
        await self._database.start()
        self._relay = Relay(self._database, Broker(self.settings))
        leave(self._relay.stop)
        await self._relay.start()
        leave(self._end_processes)

    async def _end_processes(self) -> None:
        for process in self.processes:
            process.kill()
            if isinstance(process, Api):
                await process.client.aclose()

    def _stop_valkey(self) -> None:
        if self.valkey.pid is not None and self.valkey.running:
            os.kill(self.valkey.pid, signal.SIGCONT)
        self.valkey.stop(5)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(BACKEND),
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": _at_port(self._database_url, self.to_postgres.port),
            "REDIS_URL": _at_port(self.valkey.url, self.to_redis.port),
            "SECRET_KEY": secrets.token_hex(32),
            "STORAGE_DIR": str(self.directory / "files"),
            "RATE_LIMIT_SCALE": "100000",
            "DRAIN_SECONDS": "0",
            SINK_PORT: str(self.sink.port),
            **self._overrides,
        }

    async def proxy(self, url: str) -> Proxy:
        """One more way to a server, for one process."""
        proxy = Proxy("127.0.0.1", urlsplit(url).port or 0)
        await proxy.start()
        self._stack.push_async_callback(proxy.stop)
        return proxy

    def _child(self, role: str, changes: Mapping[str, str]) -> Child:
        number = len(self.processes)
        child = Child(
            f"{role}{number}",
            [sys.executable, "-P", "-m", "tests.faults.processes", role],
            cwd=self.directory,
            env=self.environment | dict(changes),
        )
        child.log = self.directory / f"{role}{number}.log"
        return child

    def worker(self, **changes: str) -> Process:
        process = Process(self._child("worker", changes))
        self.processes.append(process)
        return process

    def shipped_worker(self) -> Process:
        """One that knows the product's kinds only."""
        child = self._child("worker", {})
        child.command = [sys.executable, "-P", "-m", "app.cli", "worker"]
        process = Process(child)
        self.processes.append(process)
        return process

    def beat(self, **changes: str) -> Process:
        process = Process(self._child("beat", changes))
        self.processes.append(process)
        return process

    def migrator(self) -> Process:
        child = self._child("migrate", {})
        child.command = [sys.executable, "-P", "-m", "tests.faults.migrator"]
        process = Process(child)
        self.processes.append(process)
        return process

    def begin_api(self, **changes: str) -> Api:
        """One that has only just been started."""
        port = free_port()
        api = Api(self._child("api", {"PORT": str(port), **changes}), port)
        self.processes.append(api)
        return api

    async def way_to_postgres(self) -> tuple[Proxy, str]:
        """One more proxy before the database, and the address through it."""
        way = await self.proxy(self._database_url)
        return way, _at_port(self._database_url, way.port)

    async def api(self, **changes: str) -> Api:
        """A ready api with somebody signed in."""
        api = self.begin_api(**changes)
        await api.ready()
        self._authorization = self._authorization or await api.sign_up()
        api.client.headers["Authorization"] = self._authorization
        return api

    async def add(self, args: JobArgs | None = None, count: int = 1, **options: Any) -> list[UUID]:
        """Enqueues as a request does: rows in one transaction, tokens by a relay."""
        async with self.transaction() as session:
            ids = [(await enqueue(session, args or WorkArgs(), **options)).id for _ in range(count)]
        self.promised.update(ids)
        return ids

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A transaction of the product's own, with a relay that hears of its commit."""
        return self._database.transaction()

    async def sign_off(self) -> None:
        """No part of the product is connected from here any more."""
        await self._relay.stop()
        await self._database.stop()

    async def setting(self, name: str) -> str:
        """A setting of PostgreSQL as the product's sessions have it."""
        async with self.transaction() as session:
            return str(await session.scalar(text(f"SHOW {name}")))

    async def one(self, sql: str, *args: Any) -> Any:
        return await self.rows.fetchval(sql, *args)

    async def until(self, look: Callable[[], Awaitable[T]]) -> T:
        """What `look` finds, once it finds something."""
        while not (found := await look()):
            await asyncio.sleep(0.05)
        return found

    async def finished(self, ids: Iterable[UUID]) -> None:
        """Waits until each of these jobs has ended."""
        wanted = list(ids)
        sql = "SELECT count(*) = $2 FROM jobs WHERE id = ANY ($1) AND finished_at IS NOT NULL"
        await self.until(lambda: self.one(sql, wanted, len(wanted)))

    async def quiet(self) -> None:
        """Waits until nothing is left to do."""
        sql = "SELECT NOT EXISTS (SELECT FROM jobs WHERE kind LIKE 'faults.%' AND state IN ('scheduled', 'available', 'running'))"
        await self.until(lambda: self.one(sql))

    async def started_after(self, moment: float, ids: Iterable[UUID] | None = None) -> list[float]:
        """For each job that began (again) after this moment of `time.time`, the seconds until it first did."""
        rows = await self.rows.fetch(
            "SELECT min(extract(epoch FROM at)) AS at FROM faults_history WHERE state = 'running'"
            " AND at > to_timestamp($1) AND ($2::uuid[] IS NULL OR job_id = ANY ($2)) GROUP BY job_id",
            moment,
            None if ids is None else list(ids),
        )
        return [float(row["at"]) - moment for row in rows]

    async def wrongs(self, *, also: Iterable[UUID] = (), discarded: int = 0) -> list[str]:
        """What the oracle has to say against this world: the ledger, the tables and the sink compared.

        `also`: jobs that may be there without a promise. `discarded`: how many of those promised were meant to fail.
        """
        jobs = {row["id"]: row for row in await self.rows.fetch("SELECT * FROM jobs WHERE kind = 'faults.work'")}
        effects: dict[UUID, list[int]] = {}
        for row in await self.rows.fetch("SELECT * FROM faults_effects"):
            effects.setdefault(row["job_id"], []).append(row["attempt"])
        said = {call.key for call in self.sink.calls if call.what == "effect"}
        wrongs = [f"{job_id}: acknowledged, and not there" for job_id in self.promised - jobs.keys()]
        wrongs += [f"{job_id}: there without a promise" for job_id in jobs.keys() - self.promised - set(also)]
        failed = 0
        for job_id, job in jobs.items():
            if job["state"] != "completed":
                failed += 1
                wrongs += [f"{job_id}: {job['state']} {job['errors']}"] if failed > discarded else []
                continue
            result = _json(job["result"])
            if result["attempt"] != job["attempt"]:
                wrongs.append(f"{job_id}: the result of attempt {result['attempt']}, the last was {job['attempt']}")
            if len(effects.get(job_id, [])) != 1:
                wrongs.append(f"{job_id}: effects of attempts {effects.get(job_id, [])}")
            if not _json(job["args"])["silent"] and str(job_id) not in said:
                wrongs.append(f"{job_id}: completed, and nothing of it was seen outside")
        wrongs += [f"{key}: a call with a key of no job" for key in said - {str(job_id) for job_id in jobs}]
        wrongs += [
            f"stale {row['what']}: {row['job_id']}" for row in await self.rows.fetch("SELECT * FROM faults_stale")
        ]
        for row in await self.rows.fetch("SELECT before, state, count(*) FROM faults_history GROUP BY 1, 2"):
            if row["before"] != row["state"] and row["state"] not in _MOVES.get(row["before"], set()):
                wrongs.append(f"{row['count']} jobs went from {row['before']} to {row['state']}")
        return wrongs


def _json(text: str | None) -> Any:
    return json.loads(text or "{}")


def now() -> float:
    """The clock that the witnesses of the database use too: all run on one machine."""
    return time.time()
