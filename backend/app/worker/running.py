"""What a handler is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncSession

from app.worker import repository
from app.worker.errors import Cancelled, LeaseLost

if TYPE_CHECKING:
    from app.infra.database import Database
    from app.infra.settings import Settings
    from app.worker.attempt import Attempt
    from app.worker.line import Fetch


class RunningJob:
    """A job while this process holds its lease.

    A handler may be run twice, and its process may be frozen and thawed at any line: what must happen once goes through
    `transaction` (and `effect` where the change does not name itself), what goes outside carries `idempotency_key`.
    """

    def __init__(self, attempt: Attempt, database: Database, settings: Settings, fetch: Fetch) -> None:
        self.id: UUID = attempt.id
        self.attempt: int = attempt.number
        self.workspace_id = attempt.workspace_id
        self.created_by = attempt.created_by
        self.traceparent = attempt.traceparent
        self.database = database
        self.settings = settings
        self._attempt = attempt
        self._fetch = fetch

    @property
    def idempotency_key(self) -> str:
        """The same on every attempt: what a receiver outside is given to tell a repeat by."""
        return str(self.id)

    async def progress(self, current: int, total: int | None = None, message: str | None = None) -> None:
        """Shows how far the work is, and is a checkpoint too. Raises Cancelled or LeaseLost."""
        value = to_json({"current": current, "total": total, "message": message}).decode()
        self._heed(await self._fetch(repository.PROGRESS, self._attempt.held(progress=value)))

    async def checkpoint(self) -> None:
        """Call it between steps of long work. Raises Cancelled, or LeaseLost when another attempt has taken over."""
        self._heed(await self._fetch(repository.LOOK, self._attempt.held()))

    def _heed(self, rows: Sequence[Any]) -> None:
        if not rows:
            raise LeaseLost
        if rows[0]["cancelled"]:
            raise Cancelled

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session that commits only if the job is still this attempt's; else LeaseLost, and nothing is written.

        The job's row is locked from the check to the commit, so no other attempt can begin in between.
        """
        async with self.database.transaction() as session:
            yield session
            await session.flush()
            if await session.scalar(repository.HOLD, self._attempt.held()) is None:
                raise LeaseLost

    async def effect(self, session: AsyncSession, key: str) -> bool:
        """True the first time that this job takes `key` in a committed transaction; do the thing then, in that one."""
        return await session.scalar(repository.TAKE_EFFECT, {"id": self.id, "key": key}) is not None
