"""The app under test is the app we ship, on real PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import settings as hypothesis_settings
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.app_factory import create_app
from app.core.job_modules import HANDLER_MODULES, load
from app.infra import migrations
from app.infra.database import Database
from app.infra.settings import Settings
from app.models import Base
from devstack.state import State
from devstack.valkey import ValkeyServer

# No timed assertions; in CI the same cases each time, at home new ones.
hypothesis_settings.register_profile("taskapi", deadline=None, derandomize="CI" in os.environ, print_blob=True)
hypothesis_settings.load_profile("taskapi")
# Jobs run in the process of the tests.
load(HANDLER_MODULES)

PASSWORD = "correct-horse-battery-staple-42"


def _servers() -> tuple[str, str]:
    try:
        return os.environ["TEST_DATABASE_URL"], os.environ["TEST_REDIS_URL"]
    except KeyError:
        pytest.exit("TEST_DATABASE_URL and TEST_REDIS_URL are not set: start the suite with `./run test`", 4)


async def _admin(sql: str) -> None:
    connection = await asyncpg.connect(_servers()[0])
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _url_of(database: str) -> str:
    return _servers()[0].rsplit("/", 1)[0] + "/" + database


@pytest.fixture(scope="session")
def _database_of_worker() -> Iterator[str]:
    """One migrated database for each xdist worker."""
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(_admin(f"CREATE DATABASE {name}"))
    url = _url_of(name).replace("postgresql://", "postgresql+asyncpg://")
    asyncio.run(migrations.upgrade(url, say=lambda _: None))
    yield _url_of(name)
    asyncio.run(_admin(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database_url(_database_of_worker: str) -> AsyncIterator[str]:
    """The address of an empty, migrated database; emptied again after the test."""
    yield _database_of_worker
    connection = await asyncpg.connect(_database_of_worker)
    # What a test left running must not keep the next one waiting.
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    # Not TRUNCATE, which makes new files for each table and index: 0.4 s against 5 ms.
    await connection.execute("; ".join(f"DELETE FROM {table.name}" for table in reversed(Base.metadata.sorted_tables)))
    await connection.close()


@pytest.fixture
async def empty_database_url() -> AsyncIterator[str]:
    """A database that was never migrated."""
    name = f"test_empty_{secrets.token_hex(6)}"
    await _admin(f"CREATE DATABASE {name}")
    yield _url_of(name)
    await _admin(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def redis_url(worker_id: str) -> str:
    """A Redis database of this xdist worker's own."""
    number = 1 if worker_id == "master" else 1 + int(worker_id.removeprefix("gw"))
    return _servers()[1].rsplit("/", 1)[0] + f"/{number}"


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[str]:
    """The address of a server of one's own, whose configuration may be changed."""
    server = ValkeyServer(State(tmp_path / "redis"), durable=False)
    try:
        server.start_on_free_port()
        yield server.url
    finally:
        server.stop(timeout=10)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)  # no stray .env
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        secret_key=secrets.token_hex(32),
        allowed_hosts=["testserver"],
        storage_dir=str(tmp_path / "files"),
        redis_key_prefix=f"t{secrets.token_hex(4)}:",
        database_pool_size=4,
        database_session_pool_size=4,
        drain_seconds=0,
        rate_limit_scale=1000,
    )


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.session() as session:
        yield session


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await app.state.lifecycle.wait_started()
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


@dataclass(frozen=True)
class Account:
    email: str
    password: str
    user_id: UUID
    workspace_id: UUID
    headers: dict[str, str]
    refresh_token: str


SignUp = Callable[..., Coroutine[Any, Any, Account]]


@pytest.fixture
def sign_up(client: httpx2.AsyncClient, app: FastAPI) -> SignUp:
    """Registers a person and signs in; each call makes another one."""

    async def make(email: str | None = None, password: str = PASSWORD) -> Account:
        email = email or f"{secrets.token_hex(6)}@example.com"
        registered = await client.post("/auth/register", json={"email": email, "password": password})
        assert registered.status_code == 201, registered.text
        answer = await client.post("/auth/login", data={"username": email, "password": password})
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        user_id = UUID(registered.json()["id"])
        async with app.state.database.session() as session:
            from app.access.service import scope_of

            scope = await scope_of(session, user_id)
        assert scope.personal is not None
        return Account(
            email,
            password,
            user_id,
            scope.personal,
            {"Authorization": f"Bearer {tokens['access_token']}"},
            tokens["refresh_token"],
        )

    return make


@pytest.fixture
async def ada(sign_up: SignUp) -> Account:
    return await sign_up("ada@example.com")


@pytest.fixture
async def bob(sign_up: SignUp) -> Account:
    return await sign_up("bob@example.com")


@pytest.fixture
def api(client: httpx2.AsyncClient, ada: Account) -> httpx2.AsyncClient:
    """The client, signed in as Ada."""
    client.headers.update(ada.headers)
    return client
