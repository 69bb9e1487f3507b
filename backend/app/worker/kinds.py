"""Declaring a kind of job: one small args class, and a handler registered for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from app.infra.settings import QUEUES
from app.kit.schema import StrictModel

Handler = Callable[..., Any]
"""`async def handler(job: RunningJob, args: Args) -> dict | None`; a plain function where the CPU is what limits it."""


class JobArgs(StrictModel):
    """The typed payload of one kind: `class ImportArgs(JobArgs, kind="tasks.import", queue="slow"): ...`.

    Rows of older versions stay readable: raise `version` when the fields change in a way that a default does not cover,
    and override `upgrade`. A row whose version is newer than this code waits for a worker that knows it.
    """

    kind: ClassVar[str] = ""
    """Feature first: `tasks.import`."""
    queue: ClassVar[str] = "default"
    priority: ClassVar[int] = 5
    """0 is taken first, 9 last."""
    max_attempts: ClassVar[int] = 5
    timeout: ClassVar[float] = 300.0
    """Seconds after which an attempt is asked to stop; it counts as failed and is retried."""
    grace: ClassVar[float] = 10.0
    """Seconds between asking an attempt to stop and ending its process."""
    backoff: ClassVar[float] = 2.0
    """Seconds: the n-th retry waits a random time of up to `backoff * 2^(n-1)`, at most `backoff_cap`."""
    backoff_cap: ClassVar[float] = 3600.0
    retention: ClassVar[timedelta] = timedelta(days=7)
    """How long a finished job is kept."""
    version: ClassVar[int] = 1
    parent: ClassVar[bool] = False
    """Has no handler: it runs while its children do, and ends as they did. Made by `enqueue_parent`."""
    schedulable: ClassVar[bool] = False
    """Whether users may make schedules of it. Its handler then keeps to `job.workspace_id` and to what `job.created_by`
    may do there: the args are whatever that person wrote.
    """

    def __init_subclass__(cls, **declared: Any) -> None:
        """Takes the class variables above as keywords. Raises ValueError for a kind that exists, an unknown queue."""
        super().__init_subclass__()
        for name, value in declared.items():
            if name not in JobArgs.__class_vars__:
                raise ValueError(f"{cls.__name__}: a kind has no {name}")
            setattr(cls, name, value)
        if not cls.kind or cls.kind in KINDS:
            raise ValueError(f"{cls.__name__}: name a kind that no other args class has")
        if cls.queue not in QUEUES:
            raise ValueError(f"{cls.__name__}: {cls.queue!r} is none of {QUEUES}")
        KINDS[cls.kind] = cls

    @classmethod
    def upgrade(cls, version: int, stored: str) -> str:  # noqa: ARG003  the hook's contract
        """The JSON of a row of an older `version` in today's shape."""
        return stored

    @classmethod
    def read(cls, version: int, stored: str) -> JobArgs:
        """The args of a row. Raises pydantic's ValidationError."""
        return cls.model_validate_json(stored if version == cls.version else cls.upgrade(version, stored))


KINDS: dict[str, type[JobArgs]] = {}
"""Every kind whose args class was imported, by name: what may be enqueued."""
HANDLERS: dict[str, Handler] = {}
"""Every kind whose handler was imported: what this process can run."""


def handler(args: type[JobArgs]) -> Callable[[Handler], Handler]:
    """Registers the function that performs this kind. A kind has one, a parent's none."""

    def register(function: Handler) -> Handler:
        if args.parent:
            raise ValueError(f"{args.kind} is a parent: its children do the work")
        if args.kind in HANDLERS:
            raise ValueError(f"{args.kind} has a handler already: {HANDLERS[args.kind]}")
        HANDLERS[args.kind] = function
        return function

    return register


def is_plain(function: Handler) -> bool:
    """Whether the handler is a plain function: it runs in a thread, and only the end of its process stops it."""
    return not inspect.iscoroutinefunction(function)


def known() -> list[str]:
    """`kind@version` for every row that this process can run."""
    return [f"{kind}@{version}" for kind in HANDLERS for version in range(1, KINDS[kind].version + 1)]


def time_limits() -> dict[str, float]:
    """For each queue, the seconds after which the worker ends a pool process: above what its kinds' limits allow."""
    limits = dict.fromkeys(QUEUES, JobArgs.timeout + JobArgs.grace)
    for args in KINDS.values():
        limits[args.queue] = max(limits[args.queue], args.timeout + args.grace)
    # The limits of a kind are kept inside the process; this one is for a process that no longer keeps anything.
    return {queue: limit + 30 for queue, limit in limits.items()}
