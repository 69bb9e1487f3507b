"""Backups by the clock, and what operators see of them."""

from __future__ import annotations

from app.core.beat import DatabaseScheduler
from app.core.celery_app import TaskApi
from app.health.service import HealthService
from app.infra.database import Database
from app.infra.metrics import Metrics
from app.infra.settings import Settings
from app.recovery.job_args import CreateArgs, VerifyArgs
from app.worker import enqueue
from app.worker.testing import run_jobs_until_idle
from tests.recovery.conftest import FILES


async def test_a_job_makes_a_backup_and_another_proves_it_where_operators_look(
    settings: Settings, database: Database, lived_in: list[str], execute
) -> None:
    for args in (CreateArgs(), VerifyArgs()):
        async with database.transaction() as session:
            await enqueue(session, args)
        assert await run_jobs_until_idle(settings) >= 1
    rows = await execute.fetch("SELECT state, result, progress FROM jobs WHERE kind LIKE 'backup.%' ORDER BY id")
    assert [row["state"] for row in rows] == ["completed", "completed"]
    assert f'"files": {len(FILES)}' in rows[0]["result"]
    assert "stored files" in rows[0]["progress"]

    metrics = Metrics(settings)
    health = HealthService(settings, database=database, metrics=metrics)
    await health.check_now()
    await health.stop()
    seen = health.report(0, "started")["backups"]
    row = await execute.fetchrow("SELECT taken_at, verified_at, restore_seconds FROM backups")
    assert seen == dict(row)
    figures = metrics.render().decode()
    assert f"taskapi_backup_restore_seconds {row['restore_seconds']}" in figures
    assert "taskapi_backup_verified_timestamp_seconds 0.0" not in figures
    assert "taskapi_backup_configured 1.0" in figures


async def test_backups_are_scheduled_where_there_is_a_place_for_them(settings: Settings, execute) -> None:
    async def scheduled(settings: Settings) -> set[str]:
        beat = DatabaseScheduler(TaskApi(settings), lazy=True)
        beat._loop.close()
        await beat._tick()
        beat._line.close()
        return {row["name"] for row in await execute.fetch("SELECT name FROM schedules WHERE name LIKE 'backup%'")}

    assert await scheduled(settings) == {"backup", "backup-proof"}
    assert await scheduled(settings.model_copy(update={"backup_url": None})) == set()
