"""The scratch database: users with their tasks, loaded by COPY."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import select, update
from sqlalchemy.engine import make_url

from app.auth.service import create_account
from app.identity.passwords import PasswordHasher
from app.infra import migrations
from app.infra.database import Database
from app.infra.settings import Settings
from app.kit.ids import new_id
from app.models import Label, Project

PASSWORD = "bench-Password-1"
STATUSES = ("todo", "in_progress", "done", "cancelled")
PRIORITIES = ("low", "medium", "high", "urgent")
LABELS = ("work", "home", "travel", "billing", "garden", "design", "later", "reading")
WORDS = (
    "water", "paint", "borrow", "return", "order", "clean", "repair", "measure", "collect", "plant", "fold", "answer",
    "ladder", "fence", "bicycle", "letter", "parcel", "kitchen", "garden", "window", "report", "kettle", "ticket",
)  # fmt: skip
START = datetime(2026, 1, 1, tzinfo=UTC)
SPREAD = timedelta(days=90)
NAMED_USERS = 8
"""Users in the state file."""
_MARK = "rows of the benchmark: made anew at each start"
_COLUMNS = (
    "id", "workspace_id", "project_id", "number", "key", "title", "description", "status", "priority", "due_at",
    "completed_at", "created_by", "created_at", "updated_at",
)  # fmt: skip


class Refused(Exception):
    """The benchmark cannot run like this; the message is for the person at the terminal."""


def email_of(user: int) -> str:
    return f"user{user:03d}@example.com"


async def load(database_url: str, *, users: int, per_user: int, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Empties the database, brings it to the newest schema and fills it. Returns the state: who there is, with which tasks.

    Each user has `per_user` tasks, evenly over the 16 pairs of status and priority. Raises Refused for a database that
    holds anything but rows of an earlier load.
    """
    await _claim(database_url)
    async_url = make_url(database_url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    await migrations.upgrade(async_url, say=say)
    inboxes = await _make_accounts(async_url, users, per_user)
    connection = await asyncpg.connect(database_url)
    state = []
    try:
        for user, (user_id, inbox, labels) in enumerate(inboxes):
            tasks = list(_task_rows(random.Random(user), per_user, user_id, inbox))
            await connection.copy_records_to_table("tasks", records=tasks, columns=_COLUMNS)
            links = _label_rows(random.Random(user), tasks, labels)
            await connection.copy_records_to_table(
                "task_labels", records=links, columns=("task_id", "label_id", "workspace_id")
            )
            say(f"loaded {per_user} tasks of user {user + 1} of {users}")
            if user < NAMED_USERS:
                ids = [str(task[0]) for task in tasks]
                state.append({"email": email_of(user), "password": PASSWORD, "tasks": ids, "labels": list(LABELS)})
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return {"users": state}


async def _claim(database_url: str) -> None:
    """An empty database of that name, with a mark that says whose it is."""
    try:
        connection = await asyncpg.connect(database_url)
    except asyncpg.InvalidCatalogNameError:
        maintenance = make_url(database_url).set(database="postgres").render_as_string(hide_password=False)
        connection = await asyncpg.connect(maintenance)
        await connection.execute(f"CREATE DATABASE {_quoted(str(make_url(database_url).database))}")
        await connection.close()
        connection = await asyncpg.connect(database_url)
    try:
        name = await connection.fetchval("SELECT current_database()")
        mark = await connection.fetchval(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1", name
        )
        tables = await connection.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        if tables and mark != _MARK:
            raise Refused(f"the database {name} has tables that this did not make: name an empty one")
        await connection.execute(
            f"COMMENT ON DATABASE {_quoted(name)} IS '{_MARK}';"
            "DROP SCHEMA IF EXISTS floor CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
        )
    finally:
        await connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _make_accounts(database_url: str, users: int, per_user: int) -> list[tuple[UUID, Project, Sequence[UUID]]]:
    """For each user the id, the inbox, and the ids of the labels; made as a registration makes them."""
    hasher = PasswordHasher(1)
    password_hash = await hasher.hash(PASSWORD)
    await hasher.stop()
    database = Database(Settings(database_url=database_url))
    made: list[tuple[UUID, Project, Sequence[UUID]]] = []
    try:
        async with database.transaction() as session:
            for user in range(users):
                account = await create_account(session, email=email_of(user), password_hash=password_hash)
                if account is None:
                    raise Refused(f"{email_of(user)} is there already")
                inbox = (await session.scalars(select(Project).where(Project.created_by == account.id))).one()
                labels = [Label(id=new_id(), workspace_id=inbox.workspace_id, name=name) for name in LABELS]
                session.add_all(labels)
                made.append((account.id, inbox, [label.id for label in labels]))
            await session.flush()
            await session.execute(update(Project).values(last_task_number=per_user))
    finally:
        await database.stop()
    return made


def _task_rows(rng: random.Random, count: int, user_id: UUID, inbox: Project) -> Iterator[tuple[Any, ...]]:
    pairs = list(product(STATUSES, PRIORITIES))
    for number in range(1, count + 1):
        status, priority = pairs[number % len(pairs)]
        created = START + rng.random() * SPREAD
        yield (
            new_id(),
            inbox.workspace_id,
            inbox.id,
            number,
            f"{inbox.key}-{number}",
            " ".join(rng.choices(WORDS, k=5)).capitalize(),
            " ".join(rng.choices(WORDS, k=22)),
            status,
            priority,
            created + timedelta(hours=rng.randrange(1, 2000)),
            created + timedelta(hours=1) if status == "done" else None,
            user_id,
            created,
            created,
        )


def _label_rows(
    rng: random.Random, tasks: Sequence[tuple[Any, ...]], labels: Sequence[UUID]
) -> Iterator[tuple[UUID, UUID, UUID]]:
    for task_id, workspace_id, *_ in tasks:
        for label in rng.sample(labels, rng.randrange(4)):
            yield task_id, label, workspace_id
