"""The floor: what this work costs in Python with nothing around it. Raw ASGI, prepared statements, hardly a check.

It answers with the eleven fields of a flat table of its own, and does not know labels by id, changes, keys or limits.
Nobody should build a service like this; it is here to divide by.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import asyncpg
import jwt
from pwdlib import PasswordHash
from pydantic_core import from_json, to_json

FIELDS = (
    "id", "owner_id", "title", "description", "status", "priority", "due_at", "labels",
    "created_at", "updated_at", "version",
)  # fmt: skip
_SHOWN = ", ".join(FIELDS)
TABLE = """
CREATE SCHEMA floor;
CREATE TABLE floor.tasks AS
    SELECT t.id, t.created_by AS owner_id, t.title, t.description, t.status, t.priority, t.due_at,
           ARRAY(SELECT l.name FROM task_labels tl JOIN labels l ON l.id = tl.label_id WHERE tl.task_id = t.id) labels,
           t.created_at, t.updated_at, t.version
    FROM tasks t;
ALTER TABLE floor.tasks ADD PRIMARY KEY (id), ALTER status SET DEFAULT 'todo', ALTER created_at SET DEFAULT now(),
    ALTER updated_at SET DEFAULT now(), ALTER version SET DEFAULT 1;
CREATE INDEX ON floor.tasks (owner_id, created_at DESC, id DESC);
CREATE INDEX ON floor.tasks (owner_id, status, priority, due_at, id);
"""
_SQL = {
    "one": f"SELECT {_SHOWN} FROM floor.tasks WHERE id = $1 AND owner_id = $2",
    "newest": f"SELECT {_SHOWN} FROM floor.tasks WHERE owner_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2",
    "older": f"SELECT {_SHOWN} FROM floor.tasks WHERE owner_id = $1 AND (created_at, id) < ($3, $4) "
    "ORDER BY created_at DESC, id DESC LIMIT $2",
    "due": f"SELECT {_SHOWN} FROM floor.tasks WHERE owner_id = $1 AND status = $3 AND priority = $4 "
    "ORDER BY due_at, id LIMIT $2",
    "insert": "INSERT INTO floor.tasks (id, owner_id, title, description, priority, due_at, labels) "
    f"VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_SHOWN}",
    "update": "UPDATE floor.tasks SET status = $3, updated_at = now(), version = version + 1 "
    f"WHERE id = $1 AND owner_id = $2 RETURNING {_SHOWN}",
    "account": "SELECT id, password_hash FROM users WHERE lower(email) = $1",
    "ping": "SELECT 1",
}  # fmt: skip
_CONNECTIONS = 10
_KEY = os.urandom(32)

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Prepared = dict[str, Any]


async def prepare(database_url: str) -> None:
    """Makes the floor's table from the product's rows."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLE)
    await connection.execute("VACUUM ANALYZE floor.tasks")
    await connection.close()


class _Statements:
    """Connections with every statement prepared; who finds none free is handed the next one that is."""

    def __init__(self) -> None:
        self._all: list[asyncpg.Connection[asyncpg.Record]] = []
        self._free: list[Prepared] = []
        self._waiting: deque[asyncio.Future[Prepared]] = deque()

    async def open(self) -> None:
        for _ in range(_CONNECTIONS):
            connection = await asyncpg.connect(os.environ["FLOOR_DATABASE_URL"])
            # As text: an id is only passed on.
            await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str)
            self._all.append(connection)
            self._free.append({name: await connection.prepare(sql) for name, sql in _SQL.items()})

    async def close(self) -> None:
        for connection in self._all:
            await connection.close()

    async def run(self, name: str, *values: Any) -> list[asyncpg.Record]:
        if self._free:
            prepared = self._free.pop()
        else:
            turn: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            prepared = await turn
        try:
            rows: list[asyncpg.Record] = await prepared[name].fetch(*values)
        finally:
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(prepared)
                    break
            else:
                self._free.append(prepared)
        return rows


_statements = _Statements()
_hashing = ThreadPoolExecutor(1)
_passwords = PasswordHash.recommended()
_known: dict[bytes, tuple[str, float]] = {}


def _owner(scope: dict[str, Any]) -> str:
    """The user of the bearer token, KeyError without a good one. A token is verified once."""
    header = next(value for name, value in scope["headers"] if name == b"authorization")
    if header not in _known:
        claims = jwt.decode(header.removeprefix(b"Bearer "), _KEY, algorithms=["HS256"])
        _known[header] = claims["sub"], claims["exp"]
    user_id, expires_at = _known[header]
    if expires_at < time.time():
        raise KeyError(header)
    return user_id


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _task(row: asyncpg.Record) -> dict[str, Any]:
    return dict(zip(FIELDS, row, strict=True))


async def _page(scope: dict[str, Any], owner: str) -> bytes:
    query = dict(parse_qsl(scope["query_string"].decode()))
    limit = int(query["limit"])
    if "status" in query:
        rows = await _statements.run("due", owner, limit, query["status"], query["priority"])
    elif "cursor" in query:
        moment, _, last_id = query["cursor"].partition("~")
        rows = await _statements.run("older", owner, limit, datetime.fromisoformat(moment), last_id)
    else:
        rows = await _statements.run("newest", owner, limit)
    cursor = f"{rows[-1]['created_at'].isoformat()}~{rows[-1]['id']}" if len(rows) == limit else None
    return to_json({"items": [_task(row) for row in rows], "next_cursor": cursor})


async def _tasks(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    owner = _owner(scope)
    method, task_id = scope["method"], scope["path"][7:]
    if task_id:
        UUID(task_id)
    if method == "GET" and not task_id:
        await _answer(send, await _page(scope, owner))
    elif method == "GET":
        await _answer(send, to_json(_task(*await _statements.run("one", task_id, owner))))
    elif method == "PATCH":
        body = from_json(await _read(receive))
        await _answer(send, to_json(_task(*await _statements.run("update", task_id, owner, body["status"]))))
    else:
        body = from_json(await _read(receive))
        due_at = datetime.fromisoformat(body["due_at"])
        values = (body["title"], body["description"], body["priority"], due_at, body["labels"])
        await _answer(send, to_json(_task(*await _statements.run("insert", str(uuid4()), owner, *values))), 201)


async def _login(receive: Receive, send: Send) -> None:
    form = dict(parse_qsl((await _read(receive)).decode()))
    account = (await _statements.run("account", form["username"]))[0]
    loop = asyncio.get_running_loop()
    if not await loop.run_in_executor(_hashing, _passwords.verify, form["password"], account["password_hash"]):
        raise KeyError(form["username"])
    token = jwt.encode({"sub": account["id"], "exp": int(time.time()) + 3600}, _KEY)
    await _answer(send, to_json({"access_token": token}))


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await _statements.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await _statements.close()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    path = scope["path"]
    if path.startswith("/tasks"):
        await _tasks(scope, receive, send)
    elif path == "/auth/login":
        await _login(receive, send)
    elif path == "/health/live":
        await _answer(send, b"{}")
    elif path == "/health/ready":
        await _statements.run("ping")
        await _answer(send, b"{}")
    else:
        await _answer(send, b"{}", 404)
