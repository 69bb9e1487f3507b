from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text

import app.reports.jobs  # noqa: F401  registers the handlers
from app.infra.storage import Storage
from app.kit.ids import new_id
from app.worker.testing import run_jobs_until_idle
from tests.conftest import Account

Add = Callable[..., Awaitable[UUID]]


@pytest.fixture
def add(app: FastAPI, ada: Account) -> Add:
    """A task in Ada's inbox, its moments as the test says them."""
    number = 0

    async def add(
        title: str = "Task",
        *,
        people: tuple[UUID, ...] = (),
        labels: tuple[UUID, ...] = (),
        project_id: UUID | None = None,
        **columns: Any,
    ) -> UUID:
        nonlocal number
        number += 1
        if columns.get("completed_at") is not None:
            columns["status"] = "done"
        task_id = new_id()
        names = "".join(f", {name}" for name in columns)
        values = "".join(f", :{name}" for name in columns)
        params = {"id": task_id, "workspace": ada.workspace_id, "title": title, "project": project_id}
        async with app.state.database.transaction() as session:
            await session.execute(
                text(f"""
                    INSERT INTO tasks (id, workspace_id, project_id, number, key, title{names})
                    SELECT :id, workspace_id, id, {number}, key || '-X{number}', :title{values} FROM projects
                    WHERE workspace_id = :workspace AND CASE WHEN CAST(:project AS uuid) IS NULL THEN is_inbox ELSE id = :project END
                """),
                params | columns,
            )
            for user_id in people:
                await session.execute(
                    text(
                        "INSERT INTO task_assignees (task_id, user_id, workspace_id) VALUES (:task, :user, :workspace)"
                    ),
                    {"task": task_id, "user": user_id, "workspace": ada.workspace_id},
                )
            for label_id in labels:
                await session.execute(
                    text(
                        "INSERT INTO task_labels (task_id, label_id, workspace_id) VALUES (:task, :label, :workspace)"
                    ),
                    {"task": task_id, "label": label_id, "workspace": ada.workspace_id},
                )
        return task_id

    return add


@pytest.fixture
def label(api: httpx2.AsyncClient) -> Callable[[str], Awaitable[UUID]]:
    async def label(name: str) -> UUID:
        answer = await api.post("/labels", json={"name": name})
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])

    return label


@pytest.fixture
def join(app: FastAPI, ada: Account) -> Callable[..., Awaitable[None]]:
    """Makes somebody a member of Ada's workspace."""

    async def join(account: Account, name: str | None = None, role: str = "member") -> None:
        async with app.state.database.transaction() as session:
            await session.execute(
                text("INSERT INTO workspace_members (workspace_id, user_id, role) VALUES (:workspace, :user, :role)"),
                {"workspace": ada.workspace_id, "user": account.user_id, "role": role},
            )
            await session.execute(
                text("UPDATE users SET name = :name WHERE id = :user"), {"name": name, "user": account.user_id}
            )

    return join


@pytest.fixture
def report(api: httpx2.AsyncClient, app: FastAPI) -> Callable[..., Awaitable[bytes]]:
    """The file of a report that Ada orders."""

    async def report(**wanted: Any) -> bytes:
        answer = await api.post("/reports", json=wanted)
        assert answer.status_code == 202, answer.text
        assert await run_jobs_until_idle(app.state.settings) == 1
        job = (await api.get(answer.headers["Location"])).json()
        assert job["state"] == "completed", job
        return await stored(app, job["result"]["file_id"])

    return report


async def stored(app: FastAPI, file_id: str) -> bytes:
    async with app.state.database.session() as session:
        key = await session.scalar(text("SELECT storage_key FROM stored_files WHERE id = :id"), {"id": file_id})
    return await Storage(app.state.settings).get(key)
