"""What `/metrics` shows of the installation."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry
from pydantic import PostgresDsn

from app.health.figures import Figures
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
