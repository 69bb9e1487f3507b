"""The load of `tests.load` on the apis of a world."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import httpx2

from tests import load
from tests.faults.world import World
from tests.load import Wish

RATE = 40
"""Requests a second. About two fifths of what two apis, a worker, the servers and this client sustain on two cores together."""


class Load(load.Load):
    def __init__(self, world: World, clients: Sequence[httpx2.AsyncClient], rate: float = RATE) -> None:
        super().__init__(clients, rate)
        self.jobs: list[UUID] = []
        self._world = world

    def job(self) -> Wish:
        return Wish("/faults/jobs", {"silent": True})

    def promised(self, answer: httpx2.Response) -> None:
        added = [UUID(one) for one in answer.json()["ids"]]
        self.jobs += added
        self._world.promised.update(added)

    async def wrong_tasks(self) -> list[str]:
        """A creation without an answer must be repeated before."""
        tasks = "SELECT id::text, title, deleted_at IS NULL AS alive FROM tasks"
        return self.wrongs(await self._world.rows.fetch(tasks))
