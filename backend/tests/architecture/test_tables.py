"""The schema and the models name the same things."""

from __future__ import annotations

import importlib
import pkgutil

import asyncpg

import app.models
from app.models import Base


async def test_every_table_has_a_model(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert {row["tablename"] for row in rows} - {"alembic_version"} == set(Base.metadata.tables)


def test_every_model_is_exported() -> None:
    for module in pkgutil.iter_modules(app.models.__path__, "app.models."):
        importlib.import_module(module.name)
    models = {mapper.class_.__name__ for mapper in Base.registry.mappers}
    assert models <= set(app.models.__all__)


WITHOUT_WORKSPACE = {
    *("users", "sessions", "login_failures", "idempotency_keys"),  # one person's
    *("job_effects", "paused_queues", "processes"),  # the machinery's
    "outgoing_circuits",  # of hosts of others
    *("mail_suppressions", "backups"),  # the operator's
    "workspaces",
    *("task_reminders", "schedule_runs"),  # reached through a row that has it
}


def test_what_a_user_can_see_names_its_workspace() -> None:
    without = {table.name for table in Base.metadata.sorted_tables if "workspace_id" not in table.columns}
    assert without == WITHOUT_WORKSPACE
