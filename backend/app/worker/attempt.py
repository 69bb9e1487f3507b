"""One try at a job: what was claimed, and the ways in which it may end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from pydantic_core import to_json

from app.infra.database import is_lost_or_busy
from app.infra.statements import Statement
from app.kit.clock import utc_now
from app.kit.schema import rfc3339
from app.worker import repository
from app.worker.errors import Permanent, Retry
from app.worker.kinds import JobArgs
from app.worker.line import Fetch, insist

RESULT_MAX_BYTES = 65_536
"""Bigger results are files."""
_LONGEST_WAIT = 366 * 86_400.0
"""Seconds: a retry that wants to wait longer waits as long."""


class Stop(StrEnum):
    """Why an attempt was asked to stop before its handler returned."""

    cancelled = "cancelled"
    lease_lost = "lease_lost"
    released = "released"
    timeout = "timeout"
    deadline = "deadline"


@dataclass(slots=True)
class Attempt:
    """What the claim returned, and the little that the heartbeat thread and the event loop share about it."""

    id: UUID
    kind: type[JobArgs]
    args: str
    args_version: int
    number: int
    max_attempts: int
    token: UUID
    workspace_id: UUID | None
    created_by: UUID | None
    traceparent: str | None
    worker: str
    lease_until: float
    """On `time.monotonic`, counted from before the claim or the renewal was sent: never later than the database's."""
    ends_at: float
    """On `time.monotonic`: the kind's timeout, or the job's deadline where that comes first."""
    has_deadline: bool
    """Whether `ends_at` is the job's deadline."""
    started: float = field(default_factory=time.monotonic)
    stop: Stop | None = None
    task: asyncio.Task[Any] | None = None
    following: tuple[float, Any] | None = None
    """What the statement that ended this attempt claimed, all NULL where there was nothing, and when it was sent."""

    claim_unheard: bool = False
    """That statement was sent, and its answer was lost."""

    def held(self, **params: Any) -> dict[str, Any]:
        """Parameters of a statement that counts only while this attempt holds its lease."""
        return {"id": self.id, "token": self.token, **params}

    def ask_to_stop(self, reason: Stop) -> None:
        """Cancels the handler's task, once. Called from other threads too."""
        if self.stop is None:
            self.stop = reason
            if self.task is not None:
                self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    def _entry(self, code: str, message: str) -> str:
        entry = {
            "at": rfc3339(utc_now()),
            "attempt": self.number,
            "code": code,
            # A receiver's words may be in it: PostgreSQL holds no NUL, JSON no half of a character.
            "message": message[:1000].encode(errors="replace").decode().replace("\x00", "\ufffd"),
            "worker": self.worker,
            "duration": round(time.monotonic() - self.started, 3),
        }
        return to_json([entry]).decode()

    async def complete(
        self, fetch: Fetch, result: dict[str, Any] | None, claim: Mapping[str, Any] | None = None
    ) -> str | None:
        """With the parameters of a `claim`, the job that it found is in `following`."""
        stored = to_json(result)
        if len(stored) > RESULT_MAX_BYTES:
            return await self.fail(fetch, Permanent("result_too_large", f"A result may take {RESULT_MAX_BYTES} bytes"))
        params = {"state": "completed", "result": None if result is None else stored.decode(), "errors": "[]"}
        if claim is not None:
            sent = time.monotonic()
            try:
                row = (await fetch(repository.FINISH_AND_CLAIM, self.held(**params, **claim)))[0]
            except Exception as error:
                if not is_lost_or_busy(error):
                    raise
                self.claim_unheard = True
            else:
                self.following = sent, row
                return cast("str | None", row["ended"])
        return await self._end(fetch, repository.FINISH, **params)

    async def fail(self, fetch: Fetch, error: Exception) -> str | None:
        """Discards the job, or schedules the next attempt after a random part of its backoff."""
        counted = not isinstance(error, Retry) or error.counted
        match error:
            case Permanent():
                result = None if error.result is None else to_json(error.result).decode()
                errors = self._entry(error.code, error.message)
                return await self._finish(fetch, "discarded", result=result, errors=errors)
            case Retry():
                code, message, after = error.code, error.message, error.after
            case _:
                # Its text may hold what must not be shown (addresses, secrets): that is for the log.
                code, message, after = "unexpected_error", type(error).__qualname__, None
        # What was not tried leaves no entry: a job may wait for days like this.
        errors = self._entry(code, message) if counted else "[]"
        if counted and self.number >= self.max_attempts:
            return await self._finish(fetch, "discarded", errors=errors)
        if after is None:
            ceiling = min(self.kind.backoff_cap, self.kind.backoff * 2 ** (self.number - 1))
            after = random.uniform(0, ceiling)
        delay = float(min(max(0, after), _LONGEST_WAIT))
        return await self._end(fetch, repository.RETRY, delay=delay, given_back=int(not counted), errors=errors)

    async def give_up(self, fetch: Fetch) -> str | None:
        """Ends the attempt for the reason it was asked to stop."""
        match self.stop:
            case Stop.cancelled:
                return await self._finish(fetch, "cancelled")
            case Stop.released:
                return await self._end(fetch, repository.RELEASE)
            case Stop.deadline:
                return await self.fail(fetch, Permanent("deadline_exceeded", "The deadline passed while the job ran"))
            case Stop.timeout:
                message = f"The attempt took longer than {self.kind.timeout:g} s"
                return await self.fail(fetch, Retry(code="timeout", message=message))
            case _:
                return None

    async def _finish(self, fetch: Fetch, state: str, *, result: str | None = None, errors: str = "[]") -> str | None:
        return await self._end(fetch, repository.FINISH, state=state, result=result, errors=errors)

    async def _end(self, fetch: Fetch, statement: Statement, **params: Any) -> str | None:
        """The job's new state; None when it was no longer this attempt's to change."""
        # Work that is done is not thrown away with a connection.
        rows = await insist(fetch, statement, self.held(**params), lambda: self.lease_until)
        return rows[0]["state"] if rows else None
