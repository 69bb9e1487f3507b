"""The step of the start at which the schema is compared with what this release needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from app.infra import migrations

if TYPE_CHECKING:
    from app.infra.database import Database
    from app.infra.settings import Settings
    from app.kit.lifecycle import Check

log = structlog.get_logger()


class SchemaGate:
    """Starts once the schema serves this release. Replicas never migrate: they are tried again until somebody has."""

    name = "schema"
    stop_timeout = 1.0

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self.start_timeout = settings.startup_timeout

    async def start(self) -> None:
        """Raises MigrationError while it does not."""
        async with self._database.engine.connect() as connection:
            found = await migrations.read(connection)
        standing = await asyncio.to_thread(migrations.judge, *found)
        if not standing.usable:
            raise migrations.MigrationError(standing.line)
        if standing.state == "served":
            log.warning("schema_newer", reason=standing.line)

    async def stop(self) -> None:
        """Nothing is held."""

    def checks(self) -> list[Check]:
        return []
