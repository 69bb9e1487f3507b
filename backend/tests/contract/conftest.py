"""Two people with something of every kind, so that whatever a route can name exists, and belongs to one of them."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx2
import pytest
from fastapi import FastAPI
from uvicorn import Config, Server

from app.core.server import Protocol
from app.infra.settings import Settings
from app.models import User
from tests.conftest import Account, SignUp
from tests.schedules.job_kinds import DigestArgs


@dataclass(frozen=True)
class Owner:
    """An account, what it owns by the name of its path parameter, and a word that stands in all its texts."""

    account: Account
    ids: dict[str, str]
    trashed_task_id: str
    mark: str

    @property
    def headers(self) -> dict[str, str]:
        return self.account.headers


MakeOwner = Callable[..., Awaitable[Owner]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Also addressed by number, for what comes over a socket."""
    return settings.model_copy(update={"allowed_hosts": ["testserver", "127.0.0.1"]})


@pytest.fixture
def make_owner(client: httpx2.AsyncClient, sign_up: SignUp, app: FastAPI) -> MakeOwner:
    async def make(email: str, *, superuser: bool = False) -> Owner:
        account = await sign_up(email)
        async with app.state.database.transaction() as session:  # before the first request: callers are remembered
            (await session.get_one(User, account.user_id)).is_superuser = superuser
        mark = f"canary{secrets.token_hex(8)}"

        async def create(path: str, body: dict[str, object]) -> str:
            answer = await client.post(path, json=body, headers=account.headers)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

        project_id = await create("/projects", {"name": mark, "description": mark})
        section_id = await create(f"/projects/{project_id}/sections", {"name": mark})
        label_id = await create("/labels", {"name": mark})
        task = {"title": mark, "description": mark, "project_id": project_id, "section_id": section_id}
        task_id = await create("/tasks", {**task, "label_ids": [label_id], "assignee_ids": [str(account.user_id)]})
        comment_id = await create(f"/tasks/{task_id}/comments", {"body": mark})
        trashed_task_id = await create("/tasks", {"title": mark})
        await client.delete(f"/tasks/{trashed_task_id}", headers=account.headers)
        schedule_id = await create("/schedules", {"name": mark, "kind": DigestArgs.kind, "interval_seconds": 3600})
        imported = await client.post(
            "/tasks/import",
            files={"file": (f"{mark}.txt", f"{mark}\n".encode())},
            data={"format": "todotxt"},
            headers=account.headers,
        )
        # Ended, so that its events have an end too.
        await client.post(f"{imported.headers['Location']}/cancel", headers=account.headers)
        attached = await client.post(
            f"/tasks/{task_id}/attachments", files={"file": (f"{mark}.txt", mark.encode())}, headers=account.headers
        )
        sessions = await client.get("/auth/sessions", headers=account.headers)
        ids = {
            "project_id": project_id,
            "section_id": section_id,
            "label_id": label_id,
            "task_id": task_id,
            "comment_id": comment_id,
            "attachment_id": attached.json()["id"],
            "workspace_id": str(account.workspace_id),
            "schedule_id": schedule_id,
            "job_id": imported.json()["id"],
            "session_id": sessions.json()["items"][0]["id"],
        }
        return Owner(account, ids, trashed_task_id, mark)

    return make


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """The app on a port of its own, with the protocol that it is served by."""
    server = Server(Config(app, lifespan="off", http=Protocol, log_config=None))
    # The protocol by name: asyncio sends small answers at once only where it reads TCP there.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving
