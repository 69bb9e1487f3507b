"""What a pool process does with a message: claim the best job of its queue, run it, say how it ended."""

from __future__ import annotations

import asyncio
import contextvars
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from pydantic import ValidationError

from app.infra import logging, tracing
from app.infra.broker import Broker
from app.infra.database import Database
from app.infra.settings import Settings
from app.worker import kinds, repository
from app.worker.attempt import Attempt, Stop
from app.worker.errors import Cancelled, LeaseLost, Permanent, Retry
from app.worker.heartbeat import Heartbeat
from app.worker.line import Line, insist
from app.worker.relay import Relay
from app.worker.running import RunningJob
from app.worker.sight import Tell, tell_nobody

log = structlog.get_logger(__name__)

_SILENCE = 1.0
"""Seconds past the time at which PostgreSQL ends a statement itself: a connection without an answer by then is dead, and
the handler that waits for it would keep its job until the kind's timeout."""


TURN_SECONDS = 0.05
"""For so long after a message a process goes on taking jobs of its queue; the next message may be another queue's."""


class Child:
    """Made after the fork: one event loop, one heartbeat thread, connections of its own."""

    def __init__(
        self,
        settings: Settings,
        worker_id: str,
        release_at: Callable[[], float | None],
        tell: Tell = tell_nobody,
        turn: float = TURN_SECONDS,
    ) -> None:
        self._settings = settings.model_copy(update={"database_pool_size": 2, "database_session_pool_size": 2})
        self._worker = f"{worker_id}/{os.getpid()}"
        self._token = UUID(int=0)
        """Of the last attempt that it began."""
        self._release_at = release_at
        self._tell = tell
        self._turn = turn
        self._ends_at = -math.inf
        self._wanted = {
            "known": kinds.known(),
            "workspace_limit": settings.job_workspace_limit,
            "lease": settings.job_lease_seconds,
            "worker": self._worker,
        }
        self._loop = asyncio.new_event_loop()
        # It cannot know how many rows of a queue may be claimed, and guesses few: so it would read and sort the whole
        # backlog at each claim (70 ms with 30,000 rows) instead of taking the first entry of the index (0.5 ms).
        self._line = Line(settings, "worker", enable_sort="off")
        self._heartbeat = Heartbeat(settings, release_at)
        self._broker = Broker(settings)
        tracing.start(settings, "worker")
        self._database: Database | None = None

    def run_next(self, queue: str) -> int:
        """Runs the best jobs of the queue, one after another, for a turn; returns how many. What a job or the database does
        never raises.
        """
        return self._loop.run_until_complete(self._run_next(queue))

    def release(self) -> None:
        """Asks the handler that runs, if any, to give its job back."""
        if (attempt := self._heartbeat.attempt) is not None:
            attempt.ask_to_stop(Stop.released)

    def close(self) -> None:
        self._heartbeat.stop()
        self._line.close()
        if self._database is not None:
            self._loop.run_until_complete(self._relay.stop())
            self._loop.run_until_complete(self._database.stop())
        self._broker.close()
        tracing.stop()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _run_next(self, queue: str) -> int:
        self._ends_at = time.monotonic() + self._turn
        self._wanted["queue"] = queue
        ran = 0
        try:
            attempt = await self._first()
            while attempt is not None:
                ran += 1
                await self._run(attempt)
                attempt = await self._next(attempt)
        except Exception as error:  # noqa: BLE001  the reconciler sends a message again once there is a database
            log.warning("claim_failed", queue=queue, reason=f"{type(error).__name__}: {error}")
            with suppress(Exception):
                await self._release_unheard()
        return ran

    async def _release_unheard(self) -> None:
        """The answer to a claim was lost, and it may have found a job: nobody would run that before its lease is over.

        A database that stood still does what it was asked for when it goes on, so this waits for it.
        """
        until = time.monotonic() + self._settings.job_lease_seconds
        unheard = {"worker": self._worker, "token": self._token}
        rows = await insist(self._line.fetch, repository.RELEASE_UNHEARD, unheard, lambda: self._release_at() or until)
        for row in rows:
            log.warning("claim_unheard", job_id=str(row["id"]))

    async def _first(self) -> Attempt | None:
        if self._release_at() is not None:
            return None
        await self._connected()
        attempt = await self._claim()
        if attempt is None:
            log.debug("token_surplus", queue=self._wanted["queue"])
            self._tell("surplus", queue=self._wanted["queue"])
        return attempt

    async def _next(self, before: Attempt) -> Attempt | None:
        if before.claim_unheard:
            await self._release_unheard()
        if before.following is not None:
            return self._begin(*before.following)
        return await self._claim() if self._goes_on() else None

    def _goes_on(self) -> bool:
        return time.monotonic() < self._ends_at and self._release_at() is None

    async def _connected(self) -> Database:
        if self._database is None:
            database = Database(self._settings, silence=self._settings.database_statement_timeout + _SILENCE)
            try:
                await database.start()
            except BaseException:
                await database.stop()
                raise
            self._relay = Relay(database, self._broker)
            await self._relay.start()
            self._database = database
        return self._database

    async def _claim(self) -> Attempt | None:
        sent = time.monotonic()
        rows = await self._line.fetch(repository.CLAIM, self._wanted)
        return self._begin(sent, rows[0]) if rows else None

    def _begin(self, sent: float, row: Any) -> Attempt | None:
        """The attempt at what was claimed by a statement sent at `sent`."""
        if row["id"] is None:
            return None
        self._token = row["lease_token"]
        kind = kinds.KINDS[row["kind"]]
        latency = row["latency"] if row["attempt"] == 1 else None
        self._tell("began", kind=kind.kind, queue=row["queue"], latency=latency)
        seconds_left: float | None = row["seconds_left"]
        has_deadline = seconds_left is not None and seconds_left < kind.timeout
        return Attempt(
            id=row["id"],
            kind=kind,
            args=row["args"],
            args_version=row["args_version"],
            number=row["attempt"],
            max_attempts=row["max_attempts"],
            token=row["lease_token"],
            workspace_id=row["workspace_id"],
            created_by=row["created_by"],
            traceparent=row["traceparent"],
            worker=self._worker,
            lease_until=sent + self._settings.job_lease_seconds,
            ends_at=sent + (seconds_left if has_deadline and seconds_left is not None else kind.timeout),
            has_deadline=has_deadline,
        )

    async def _run(self, attempt: Attempt) -> None:
        bound = logging.bind(job_id=str(attempt.id), kind=attempt.kind.kind, **_trace(attempt.traceparent))
        about = {
            "taskapi.job.id": str(attempt.id),
            "taskapi.job.attempt": attempt.number,
            "taskapi.queue": self._wanted["queue"],
        }
        try:
            with tracing.span(f"job {attempt.kind.kind}", "CONSUMER", **about) as told:
                state = await self._run_bound(attempt)
                told |= {"taskapi.job.state": state, "error": state if state == "discarded" else None}
        finally:
            logging.unbind(bound)

    async def _run_bound(self, attempt: Attempt) -> str | None:
        """The job's new state; None when that is not this attempt's to say."""
        database = await self._connected()
        job = RunningJob(attempt, database, self._settings, database.fetch)
        self._heartbeat.attempt = attempt
        try:
            state = await self._perform_storably(attempt, job)
        except Exception:
            # The database did not take the end of it: the lease runs out, and there is another attempt.
            log.exception("job_end_not_written")
            return None
        finally:
            self._heartbeat.attempt = None
        seconds = round(time.monotonic() - attempt.started, 3)
        self._tell("ended", kind=attempt.kind.kind, state=state, seconds=seconds)
        if state is None:
            log.warning("lease_lost", attempt=attempt.number)
        else:
            log.info("job_ended", state=state, attempt=attempt.number, seconds=seconds)
        return state

    async def _perform_storably(self, attempt: Attempt, job: RunningJob) -> str | None:
        try:
            return await self._perform(attempt, job)
        except (TypeError, ValueError, asyncpg.DataError):
            # Not JSON, or none that PostgreSQL holds. Another attempt would do the work again, and end like this one.
            log.exception("job_end_not_storable")
            return await attempt.fail(self._line.fetch, Permanent("result_invalid", "The result cannot be stored"))

    async def _perform(self, attempt: Attempt, job: RunningJob) -> str | None:
        """Runs the handler to its end, whichever; returns the job's new state, None when it is not ours any more."""
        fetch = self._line.fetch
        try:
            args = attempt.kind.read(attempt.args_version, attempt.args)
        except ValidationError as error:
            log.error("args_invalid", problems=error.error_count())  # noqa: TRY400  the text would show the args
            return await attempt.fail(fetch, Permanent("args_invalid", "The stored args do not fit the kind"))
        attempt.task = self._loop.create_task(_call(kinds.HANDLERS[attempt.kind.kind], job, args))
        try:
            result = await attempt.task
        except asyncio.CancelledError:
            if attempt.stop is None:  # something that it waited for was cancelled, and not the job
                return await attempt.fail(fetch, Retry(code="unexpected_error", message="CancelledError"))
        except Cancelled:
            attempt.stop = Stop.cancelled
        except LeaseLost:
            attempt.stop = Stop.lease_lost
        except Exception as error:
            if attempt.stop is not None:  # it tripped while it was stopping
                return await attempt.give_up(fetch)
            if not isinstance(error, Permanent):
                log.warning("attempt_failed", attempt=attempt.number, exc_info=error)
            return await attempt.fail(fetch, error)
        else:
            return await attempt.complete(fetch, result, self._wanted if self._goes_on() else None)
        return await attempt.give_up(fetch)


def _trace(traceparent: str | None) -> dict[str, str]:
    """The enqueuer's trace, continued by a span of this attempt (W3C Trace Context 3.2)."""
    if traceparent is None:  # made by the clock, say
        return {"trace_id": tracing.new_trace_id()} if tracing.is_on() else {}
    _, trace_id, span_id, _ = traceparent.split("-", 3)
    # Where spans are sent, the attempt's own begins below the enqueuer's; otherwise it has an id all the same.
    return {"trace_id": trace_id, "span_id": span_id if tracing.is_on() else tracing.new_span_id()}


async def _call(function: kinds.Handler, job: RunningJob, args: kinds.JobArgs) -> Any:
    if not kinds.is_plain(function):
        return await function(job, args)
    context = contextvars.copy_context()
    thread = asyncio.get_running_loop().run_in_executor(None, context.run, _call_plain, function, job, args)
    while not thread.done():
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            # A thread cannot be stopped, so the attempt is not over: past its grace the heartbeat ends the process.
            if thread.cancelled():
                raise
    return thread.result()


def _call_plain(function: kinds.Handler, job: RunningJob, args: kinds.JobArgs) -> Any:
    try:
        return function(job, args)
    except StopIteration as error:  # no future takes it: it would never be done
        raise RuntimeError("the handler raised StopIteration") from error
