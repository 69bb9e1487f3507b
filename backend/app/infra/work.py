"""What one request, or one attempt at a job, does in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from app.infra.database import Database
    from app.infra.statements import Statement


class Work:
    """A unit of work.

    A single statement runs alone and commits itself, which saves BEGIN and COMMIT; once `transaction` was asked for
    (or the request carries an `Idempotency-Key`), every statement is part of the one transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._session: AsyncSession | None = None
        self._info: dict[Any, Any] = {}

    @property
    def open(self) -> bool:
        """Whether there is a transaction that has not ended."""
        return self._session is not None

    @property
    def info(self) -> dict[Any, Any]:
        """What `Database.listeners` are told once it has committed."""
        return self._info if self._session is None else self._session.info

    async def transaction(self) -> AsyncSession:
        if self._session is None:
            self._session = self._database.session()
            await self._session.begin()
        return self._session

    async def fetch(self, statement: Statement, params: Mapping[str, Any]) -> list[Any]:
        """The rows of a statement, each readable by column name."""
        return await self._database.fetch(statement, params, session=self._session)

    async def end(self, *, commit: bool) -> None:
        session, self._session = self._session, None
        if session is not None:
            async with session:
                if commit:
                    await session.commit()
        if commit and self._info:
            self._database.tell(self._info)
