"""Waits until the database's schema is the one that this release needs."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import structlog

from app.infra import migrations

if TYPE_CHECKING:
    from app.infra.database import Database
    from app.kit.lifecycle import Check

log = structlog.get_logger()
_POLL_SECONDS = 1.0


class SchemaGate:
    """Starts once the schema is at the head. Replicas never migrate: they wait for `taskapi migrate`, however long.

    `waiting_for` says what is wrong meanwhile.
    """

    name = "schema"
    start_timeout = math.inf
    stop_timeout = 1.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self.waiting_for: str | None = None

    async def start(self) -> None:
        needed = await asyncio.to_thread(migrations.head)
        while (wrong := await self._mismatch(needed)) is not None:
            if wrong != self.waiting_for:
                log.warning("schema_mismatch", reason=wrong)
            self.waiting_for = wrong
            await asyncio.sleep(_POLL_SECONDS)
        self.waiting_for = None

    async def stop(self) -> None:
        """Nothing is held."""

    def checks(self) -> list[Check]:
        return []

    async def _mismatch(self, needed: str) -> str | None:
        async with self._database.engine.connect() as connection:
            present = await migrations.current(connection)
        if present == needed:
            return None
        if present is not None and not await asyncio.to_thread(migrations.knows, present):
            return f"the schema ({present}) is newer than this release ({needed}): deploy the newer release"
        return f"the schema is at {present or 'nothing'}, this release needs {needed}: run taskapi migrate"
