"""Waiting for what waits for a lock."""

from __future__ import annotations

from sqlalchemy import text

from app.infra.database import Database


async def until_one_waits_for_a_lock(database: Database) -> None:
    """Returns when a connection to the database waits for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    found = 0
    while not found:
        async with database.session() as session:  # within one transaction the view stands still
            found = await session.scalar(waiting)
