from __future__ import annotations

import pytest
from sqlalchemy import text

from app.infra.database import Database
from app.infra.settings import Settings
from app.worker.line import Line
from tests.schedules import job_kinds  # noqa: F401  its kind is declared there


@pytest.fixture
async def line(settings: Settings):
    line = Line(settings, "test")
    yield line
    line.close()


@pytest.fixture
def rows(database: Database):
    async def rows(sql: str, **params) -> list[tuple]:
        async with database.transaction() as session:
            result = await session.execute(text(sql), params)
            return [tuple(row) for row in result] if result.returns_rows else []

    return rows


@pytest.fixture
def put_back(rows):
    """Makes every schedule of interval due: its next slot is the one so many intervals ago."""

    async def put_back(intervals: int = 0) -> None:
        slot = "floor(extract(epoch FROM now()) / interval_seconds - :intervals) * interval_seconds"
        await rows(f"UPDATE schedules SET next_slot = to_timestamp({slot})", intervals=intervals)

    return put_back


@pytest.fixture
def outcomes(rows):
    async def outcomes() -> list[str]:
        """Of all slots, in order."""
        return [outcome for (outcome,) in await rows("SELECT outcome FROM schedule_runs ORDER BY slot")]

    return outcomes
