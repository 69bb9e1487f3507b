"""Argon2id in a bounded pool of threads: it costs 20 ms and 19 MiB a time, which the event loop must not pay."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from app.kit.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.kit.lifecycle import Check

T = TypeVar("T")

_ARGON2ID = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19 * 1024, parallelism=1),))
"""The OWASP Password Storage Cheat Sheet's figures; memory in KiB."""
QUEUE_PER_WORKER = 32
"""How many may wait for each thread: about a second's work."""
_NICE = 10


class HashingBusy(Unavailable):
    code, title = "hashing_busy", "Too many passwords are being checked"


class PasswordHasher:
    """Hashes and checks passwords, at most `workers` at once. Start it before use."""

    name = "passwords"
    start_timeout = 5.0
    stop_timeout = 2.0

    def __init__(self, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, "passwords", initializer=_step_back)
        self._room = workers * (1 + QUEUE_PER_WORKER)
        self._decoy = ""

    async def start(self) -> None:
        self._decoy = await self.hash(secrets.token_urlsafe())

    async def stop(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def checks(self) -> list[Check]:
        return []

    async def hash(self, password: str) -> str:
        """The hash to store. Raises HashingBusy when the queue is full."""
        return await self._run(lambda: _ARGON2ID.hash(password))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether the password belongs to the hash. Raises HashingBusy when the queue is full.

        Without a hash (there is no such user) it costs the same and is False.
        """
        matches = await self._run(lambda: _ARGON2ID.verify(password, hashed or self._decoy))
        return matches and hashed is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._room:
            raise HashingBusy
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._room += 1


def _step_back() -> None:
    # Linux schedules each thread by its own niceness: hashing takes what requests leave over.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        # From where the process stands: one that was started nicer still may not be raised.
        os.setpriority(os.PRIO_PROCESS, thread, min(os.getpriority(os.PRIO_PROCESS, thread) + _NICE, 19))
