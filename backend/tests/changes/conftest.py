from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from app.changes.recorder import Actor
from app.infra.database import Database
from app.infra.settings import Settings
from app.kit.ids import new_id
from app.models import Project, Workspace


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """With room for the writers and readers of these tests."""
    database = Database(settings.model_copy(update={"database_session_pool_size": 12}))
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
def actor() -> Actor:
    return Actor(new_id(), new_id())


@pytest.fixture
async def workspace_id(database: Database) -> UUID:
    workspace = Workspace(id=new_id(), name="Shared")
    async with database.transaction() as session:
        session.add(workspace)
    return workspace.id


@pytest.fixture
async def projects(database: Database, workspace_id: UUID) -> list[UUID]:
    """Three rows that writers compete for; their making is not in the record."""
    made = [Project(id=new_id(), workspace_id=workspace_id, name="Zero", key=f"P{number}") for number in range(3)]
    async with database.transaction() as session:
        session.add_all(made)
    return [project.id for project in made]
