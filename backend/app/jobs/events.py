"""A job's news, as they come, until its end. Between two looks at the row no connection to the database is held."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Any, TypeVar

from app.infra.database import is_lost_or_busy
from app.jobs.schemas import JOB, shown
from app.models.job import FINAL_STATES
from app.web.event_stream import HEARTBEAT, HEARTBEAT_SECONDS, event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

Answer = TypeVar("Answer")
LOOK_SECONDS = 0.5
_RETRY_MS = 1000


def version_of(job: Mapping[str, Any]) -> str:
    """The id of the event that tells of this state of the job: a client that has it has missed nothing."""
    return hashlib.blake2b(JOB.dump_json(shown(job)), digest_size=9).hexdigest()


def has_ended(job: Mapping[str, Any]) -> bool:
    return job["state"] in FINAL_STATES


async def follow(
    look: Callable[[], Awaitable[Mapping[str, Any]]],
    may_stay: Callable[[], Awaitable[bool]],
    draining: asyncio.Event,
    last_seen: str | None,
) -> AsyncIterator[bytes]:
    """`progress` at each change, then `ended`; both carry the job.

    `interrupted` comes last where the server stops or the caller may no longer `look`: connect again with
    `Last-Event-ID`, and only what is new is told. A database that does not answer is waited for.
    """
    spoke = time.monotonic()
    while True:
        job = await _patiently(look)
        if job is not None and (version := version_of(job)) != last_seen:
            name = "ended" if has_ended(job) else "progress"
            yield event(name, JOB.dump_json(shown(job)), event_id=version)
            last_seen, spoke = version, time.monotonic()
        if job is not None and has_ended(job):
            return
        if time.monotonic() - spoke >= HEARTBEAT_SECONDS:
            if await _patiently(may_stay) is False:
                yield event("interrupted", b'{"reason":"unauthenticated"}')
                return
            yield HEARTBEAT
            spoke = time.monotonic()
        if await _set_within(draining, LOOK_SECONDS):
            yield event("interrupted", b'{"reason":"shutdown"}', retry_ms=_RETRY_MS)
            return


async def _patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
    try:
        return await ask()
    except Exception as error:
        if not is_lost_or_busy(error):
            raise
        return None


async def _set_within(flag: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await flag.wait()
    except TimeoutError:
        return False
