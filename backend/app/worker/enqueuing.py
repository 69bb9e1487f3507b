"""Adding a job: a row in the transaction that gives the job its reason. Nothing here talks to Redis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.infra import logging
from app.infra.statements import Statement
from app.infra.work import Work
from app.kit.errors import invalid
from app.kit.ids import new_id
from app.models import Job
from app.worker.kinds import JobArgs
from app.worker.repository import INSERT, INSERT_CHILDREN, SAME

ARGS_MAX_BYTES = 65_536
"""Bigger things are stored and referenced."""
CHILD_PRIORITY = 2
"""How much later than its kind's single jobs a child is taken: many children do not hold those up."""
_CHUNK = 1000
TOKENS = "taskapi.tokens"
"""Where a unit of work keeps, by queue, how many jobs it enqueued; `Relay` reads it after the commit."""


def _check_size(stored: bytes) -> None:
    if len(stored) > ARGS_MAX_BYTES:
        raise invalid("/args", "args_too_large", f"The args of a job may take {ARGS_MAX_BYTES} bytes")


def row_of(args: JobArgs) -> dict[str, Any]:
    """The columns that a kind decides. Raises InvalidInput when the args are over 64 kB."""
    stored = args.model_dump(mode="json")
    _check_size(to_json(stored))
    return {
        "id": new_id(),
        "kind": args.kind,
        "queue": args.queue,
        "priority": args.priority,
        "args_version": args.version,
        "args": stored,
        "max_attempts": args.max_attempts,
    }


async def enqueue(  # noqa: PLR0913  each is a column that a caller may want to set
    work: AsyncSession | Work,
    args: JobArgs,
    *,
    workspace_id: UUID | None = None,
    created_by: UUID | None = None,
    run_at: datetime | None = None,
    unique_key: str | None = None,
    queue: str | None = None,
    priority: int | None = None,
    deadline_at: datetime | None = None,
    parent_id: UUID | None = None,
    traceparent: str | None = None,
) -> Job:
    """Inserts the job; it runs once the caller's transaction has committed, and never if it does not.

    With a `Work` that has no transaction it is one statement, committed at once: a sixth of the CPU. With a `unique_key`
    that a live job of the kind has, that job is returned instead. Past `deadline_at` it is discarded, wherever it
    stands. Without a `traceparent` the job continues the present trace. Raises InvalidInput when the args are over 64 kB,
    ValueError for a kind that is a parent.
    """
    if args.parent:
        raise ValueError(f"{args.kind} is a parent: enqueue_parent")
    values = row_of(args) | {
        "parent": False,
        "run_at": run_at,
        "workspace_id": workspace_id,
        "created_by": created_by,
        "unique_key": unique_key,
        "deadline_at": deadline_at,
        "parent_id": parent_id,
        "traceparent": traceparent or logging.traceparent(),
    }
    if queue is not None:
        values["queue"] = queue
    if priority is not None:
        values["priority"] = priority
    job = await _insert(work, values)
    if job.state == "available":
        announce(work, job.queue)
    return job


async def enqueue_parent(
    session: AsyncSession,
    args: JobArgs,
    children: Iterable[JobArgs],
    *,
    workspace_id: UUID | None = None,
    created_by: UUID | None = None,
    unique_key: str | None = None,
    deadline_at: datetime | None = None,
) -> Job:
    """Inserts a job of a kind that is a parent, and its children, who do the work; 10,000 take half a second.

    The parent runs until its last child has ended: then it is `discarded` where any child was, else `completed`. Its
    progress counts the children by state. Cancelling it cancels them, retrying it retries the discarded ones. Children
    are taken after single jobs of their kind. With a `unique_key` that a live parent of the kind has, that one is
    returned and nothing inserted. Raises InvalidInput when the args of any are over 64 kB.
    """
    if not args.parent:
        raise ValueError(f"{args.kind} has a handler of its own: it is no parent")
    shared = {
        "workspace_id": workspace_id,
        "created_by": created_by,
        "deadline_at": deadline_at,
        "traceparent": logging.traceparent(),
    }
    own = {"parent": True, "run_at": None, "parent_id": None, "unique_key": unique_key}
    values = row_of(args) | shared | own
    parent = await _insert(session, values)
    if parent.id != values["id"]:
        return parent
    remaining: Iterator[JobArgs] = iter(children)
    while chunk := list(islice(remaining, _CHUNK)):
        await session.execute(INSERT_CHILDREN, _columns_of(chunk) | shared | {"parent_id": parent.id})
        for queue, count in Counter(child.queue for child in chunk).items():
            announce(session, queue, count)
    return parent


def _columns_of(children: list[JobArgs]) -> dict[str, list[Any]]:
    stored = [child.model_dump_json() for child in children]
    for one in stored:
        _check_size(one.encode())
    return {
        "ids": [new_id() for _ in children],
        "kinds": [child.kind for child in children],
        "queues": [child.queue for child in children],
        "priorities": [min(9, child.priority + CHILD_PRIORITY) for child in children],
        "versions": [child.version for child in children],
        "args": stored,
        "attempts": [child.max_attempts for child in children],
    }


def announce(work: AsyncSession | Work, queue: str, count: int = 1) -> None:
    """Once this has committed, the queue gets so many messages more."""
    work.info.setdefault(TOKENS, Counter())[queue] += count


async def _insert(work: AsyncSession | Work, values: dict[str, Any]) -> Job:
    while True:
        for statement in (INSERT, SAME):
            if (job := await _one(work, statement, values)) is not None:
                return job
        # The one in the way has just ended: now there is room for ours.


async def _one(work: AsyncSession | Work, statement: Statement, values: dict[str, Any]) -> Job | None:
    if isinstance(work, Work):
        if not work.open:
            rows = await work.fetch(statement, values)
            return Job(**rows[0]) if rows else None
        work = await work.transaction()
    stored = select(Job).from_statement(statement.executable)  # type: ignore[arg-type]
    return (await work.scalars(stored, values)).one_or_none()
