"""What `/metrics` shows of the installation."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry
from pydantic import PostgresDsn
from sqlalchemy import text

from app.health.figures import Figures
from app.infra.database import Database
from app.infra.settings import Settings
from app.worker.line import Line

WITHOUT_LABELS = [
    "taskapi_postgres_max_connections",
    "taskapi_postgres_oldest_transaction_seconds",
    "taskapi_postgres_size_bytes",
    "taskapi_schedule_lag_seconds",
]


async def test_a_database_that_does_not_answer_leaves_no_old_figures(settings: Settings) -> None:
    registry = CollectorRegistry()
    figures = Figures(settings, registry)
    await figures.refresh()
    assert not any(math.isnan(registry.get_sample_value(name)) for name in WITHOUT_LABELS)
    assert registry.get_sample_value("taskapi_jobs_waiting", {"queue": "default"}) == 0
    figures.close()

    nowhere = PostgresDsn("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    figures._line = Line(settings.model_copy(update={"database_url": nowhere}), "figures")
    figures._read = -math.inf
    await figures.refresh()
    assert all(math.isnan(registry.get_sample_value(name)) for name in WITHOUT_LABELS)
    assert registry.get_sample_value("taskapi_jobs_waiting", {"queue": "default"}) is None
    figures.close()


async def test_the_lag_of_schedules_is_that_of_slots_which_wait_for_a_beat(
    settings: Settings, database: Database
) -> None:
    registry = CollectorRegistry()
    figures = Figures(settings, registry)

    async def lag(change: str) -> float:
        async with database.transaction() as session:
            await session.execute(text(change))
        figures._read = -math.inf
        await figures.refresh()
        return registry.get_sample_value("taskapi_schedule_lag_seconds") or 0.0

    await lag(
        "INSERT INTO schedules (id, name, kind, args, interval_seconds, next_slot, built_in) VALUES"
        " (gen_random_uuid(), 'probe', 'health.probe', '{}', 15, now() + interval '15 s', true),"
        " (gen_random_uuid(), 'lost', 'of.tomorrow', '{}', 15, now() - interval '1 hour', true)"
    )
    handled = (
        "INSERT INTO schedule_runs (schedule_id, slot, outcome, created_at)"
        " SELECT id, now(), 'enqueued', now() - interval '{}' FROM schedules WHERE name = 'probe'"
    )
    assert await lag(handled.format("5 s")) == 0
    await lag("DELETE FROM schedule_runs")
    await lag("UPDATE schedules SET next_slot = now() - interval '90 s' WHERE name = 'probe'")
    assert 90 <= await lag(handled.format("105 s")) < 3600
    figures.close()
