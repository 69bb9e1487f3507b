from __future__ import annotations

import pytest
from sqlalchemy import text

from app.worker import enqueue
from app.worker.proof import ProbeArgs


@pytest.fixture
def add(app):
    async def add(account, **options) -> str:
        async with app.state.database.transaction() as session:
            return str((await enqueue(session, ProbeArgs(), created_by=account.user_id, **options)).id)

    return add


@pytest.fixture
def put(app):
    async def put(job_id: str, assignments: str) -> None:
        async with app.state.database.transaction() as session:
            await session.execute(text(f"UPDATE jobs SET {assignments} WHERE id = :id"), {"id": job_id})

    return put
