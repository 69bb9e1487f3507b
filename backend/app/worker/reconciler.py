"""The guarantee behind the messages: puts jobs back on their way and sends the tokens that are missing.

One runs beside every worker, as a process of its own; none is elected, any number may run. It ends with its worker:
its standard input is the worker's end of a pipe.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import structlog
from pydantic_core import from_json, to_json

from app.infra import log_level, logging, profiling
from app.infra.broker import TOKENS_CAP, Broker, BrokerError
from app.infra.metrics import expose
from app.infra.settings import Settings
from app.infra.statements import Statement
from app.worker import repository
from app.worker.line import Line
from app.worker.metrics import WorkerMetrics
from app.worker.presence import REPORT_SECONDS, Presence, leave
from app.worker.sight import offer_work, read_facts

log = structlog.get_logger(__name__)

POISON_DEATHS = 3
"""A job under which so many pool processes died is discarded."""
_BATCH = 500
_PARENTS = 10
"""Fewer: each may have thousands of children to count."""
_LEAVE_SECONDS = 1.0
_BACKLOG_INTERVAL = 0.5
_PARKED_EVERY = 30
"""Rounds between two looks for jobs that no handler here knows."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What a reconciler is told by its worker, on its command line."""

    worker_id: str
    worker_pid: int
    queues: list[str]
    known: list[str]
    channel: int | None = None
    """The file descriptor of its end of the worker's `Channel`."""
    level: int | None = None
    """That of the file in which the worker's processes share their log level."""

    def as_argument(self) -> str:
        return to_json(asdict(self)).decode()


class Reconciler:
    def __init__(self, settings: Settings, duty: Duty) -> None:
        self._duty = duty
        self._channel = None if duty.channel is None else socket.socket(fileno=duty.channel)
        self._interval = settings.reconciler_interval
        self._workspace_limit = settings.job_workspace_limit
        self._line = Line(settings, "reconciler")
        self._broker = Broker(settings)
        self.metrics = WorkerMetrics(duty.worker_pid, settings)
        self._settings = settings
        self._level = log_level.LevelInForce(settings)
        self._reported = -math.inf
        self._rounds = 0

    def listen(self) -> None:
        """From now on it counts what the worker's processes tell."""
        if self._channel is not None:
            asyncio.get_running_loop().add_reader(self._channel, self._take_facts, self._channel)

    def _take_facts(self, channel: socket.socket) -> None:
        for fact in read_facts(channel):
            self.metrics.take(fact)

    async def run(self) -> None:
        """Until cancelled. A round that fails is one that is tried again."""
        while True:
            try:
                pause = await self.round()
            except Exception as error:  # noqa: BLE001  no database, no work: but it comes back
                log.warning("reconciler_round_failed", reason=f"{type(error).__name__}: {error}")
                pause = self._interval
            await asyncio.sleep(pause)

    async def report(self) -> None:
        """Tells of the worker in its row."""
        duty = self._duty
        present = Presence(
            duty.worker_id, "worker", duty.worker_pid, duty.queues, duty.known, self._settings.worker_concurrency
        )
        await present.report(self._line, self.metrics.seconds_since_work)
        self._reported = time.monotonic()

    async def leave(self) -> None:
        """The worker ends as it should: its row goes."""
        await leave(self._line, self._duty.worker_id)

    def close(self) -> None:
        self._line.close()
        self._broker.close()

    async def round(self) -> float:
        """One round; returns the seconds until the next."""
        await self._every_row(repository.DUE)
        for row in await self._every_row(repository.RESCUE, dead=await self._dead(), poison=POISON_DEATHS):
            self.metrics.rescued(row["code"])
            self.metrics.ended_by_reconciler(row["kind"], row["state"])
            log.warning("job_rescued", job_id=str(row["id"]), kind=row["kind"], reason=row["code"], state=row["state"])
        for row in await self._every_row(repository.EXPIRE):
            self.metrics.ended_by_reconciler(row["kind"], row["state"])
            log.warning("job_expired", job_id=str(row["id"]), kind=row["kind"], state=row["state"])
        for row in await self._every_row(repository.SETTLE, batch=_PARENTS):
            if row["state"] != "running":
                self.metrics.ended_by_reconciler(row["kind"], row["state"])
                log.info("parent_ended", job_id=str(row["id"]), kind=row["kind"], state=row["state"])
        backlog = await self._top_up()
        if self._rounds % _PARKED_EVERY == 0:
            await self._report_parked()
        if time.monotonic() >= self._reported + REPORT_SECONDS:
            await self.report()
            await self._heed_level()
        self._rounds += 1
        return await self._pause(backlog=backlog)

    async def _every_row(self, statement: Statement, *, batch: int = _BATCH, **params: Any) -> list[Any]:
        rows: list[Any] = []
        while True:
            found = await self._line.fetch(statement, {"batch": batch, **params})
            rows += found
            if len(found) < batch:
                return rows

    async def _dead(self) -> list[str]:
        """Pool processes of this worker that hold a lease and are gone: theirs need not run out."""
        rows = await self._line.fetch(repository.RUNNING_HERE, {"worker_id": self._duty.worker_id})
        return [row["worker"] for row in rows if not self._lives(int(row["worker"].rsplit("/", 1)[1]))]

    def _lives(self, pid: int) -> bool:
        try:
            process = psutil.Process(pid)
            return process.ppid() == self._duty.worker_pid and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    async def _top_up(self) -> bool:
        """Sends each queue the tokens it lacks for its claimable jobs; True while there are such jobs.

        While Redis does not take them the worker is told itself: it needs no broker.
        """
        known = {"known": self._duty.known, "workspace_limit": self._workspace_limit}
        params = {"queues": self._duty.queues, "cap": TOKENS_CAP, **known}
        rows = await self._line.fetch(repository.CLAIMABLE, params)
        claimable = {row["queue"]: row["jobs"] for row in rows if row["jobs"]}
        if not claimable:
            return False
        try:
            depths = await asyncio.to_thread(self._broker.depths, self._duty.queues)
            await asyncio.to_thread(self._broker.send, {q: jobs - depths[q] for q, jobs in claimable.items()})
        except BrokerError as error:
            log.warning("top_up_failed", reason=str(error))
            if self._channel is not None:
                offer_work(self._channel, claimable)
        return True

    async def _report_parked(self) -> None:
        params = {"queues": self._duty.queues, "known": self._duty.known}
        for row in await self._line.fetch(repository.PARKED, params):
            log.warning("jobs_parked", kind=row["kind"], version=row["args_version"], reason="no handler here")

    async def _heed_level(self) -> None:
        try:
            self._level.heed(await asyncio.to_thread(self._broker.value, log_level.key(self._settings)))
        except BrokerError:
            self._level.nothing_heard()

    async def _pause(self, *, backlog: bool) -> float:
        longest = min(_BACKLOG_INTERVAL, self._interval) if backlog else self._interval
        seconds = (await self._line.fetch(repository.NEXT_DUE, {}))[0]["seconds"]
        return longest if seconds is None else min(longest, max(0.05, seconds))


async def _end_of_input() -> None:
    """Returns when the worker has closed its end, or died."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def _serve(settings: Settings, duty: Duty) -> None:
    reconciler = Reconciler(settings, duty)
    reconciler.listen()
    if duty.level is not None:
        logging.share_level(duty.level)
        # A change that the one before this heard of may be over; if not, it is heard of again.
        logging.set_level(settings.log_level)
    expose(reconciler.metrics.registry, settings)
    rounds = asyncio.create_task(reconciler.run())
    await _end_of_input()
    rounds.cancel()
    await asyncio.wait({rounds})
    # A worker that was killed has left its row: then its time shows that.
    with suppress(Exception):
        async with asyncio.timeout(_LEAVE_SECONDS):
            await reconciler.leave()
    os._exit(0)  # here: the loop's own end would wait for a thread that waits for Redis, or for its name


def main() -> None:
    # The worker decides when: a Ctrl-C or a stop of the whole process group reaches it too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    profiling.offer()
    settings = Settings()
    logging.configure(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings, Duty(**from_json(sys.argv[1]))))


if __name__ == "__main__":
    main()
