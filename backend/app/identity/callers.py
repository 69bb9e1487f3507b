"""The state of sessions and their users, at most a second old: what makes a sign-out count, whatever Redis does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.access.scope import Scope
from app.identity import repository
from app.identity.caller import Caller
from app.kit.clock import utc_now
from app.kit.errors import Unavailable

if TYPE_CHECKING:
    from uuid import UUID

    from app.identity.tokens import Claims
    from app.infra.database import Database

FRESH_SECONDS = 1.0
_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _State:
    """`caller` is None for a session that does not count; `until` is on the monotonic clock."""

    caller: Caller | None
    until: float


class Callers:
    """Finds the caller of a verified token. Requests that miss at once for one session share one query."""

    def __init__(self, database: Database, deadline: float) -> None:
        """`deadline`: the seconds that a query may take."""
        self._database = database
        self._deadline = deadline
        self._states: dict[UUID, _State] = {}
        self._loading: dict[UUID, asyncio.Task[_State]] = {}

    async def find(self, claims: Claims) -> Caller | None:
        """None when the session has ended, or its user is not active."""
        state = self._states.get(claims.session_id)
        if state is None or state.until <= time.monotonic():
            state = await self._load(claims)
        return state.caller

    def forget(self, session_id: UUID) -> None:
        """What this process ended itself counts at once. To be called after the commit."""
        self._states.pop(session_id, None)
        self._loading.pop(session_id, None)

    async def _load(self, claims: Claims) -> _State:
        loading = self._loading.get(claims.session_id)
        if loading is None:
            loading = asyncio.create_task(self._read(claims))
            self._loading[claims.session_id] = loading
            loading.add_done_callback(lambda task: self._finish(claims.session_id, task))
        # A client that hangs up takes only its own wait with it.
        return await asyncio.shield(loading)

    def _finish(self, session_id: UUID, task: asyncio.Task[_State]) -> None:
        # A read that `forget` has overtaken may have seen what was before.
        current = self._loading.get(session_id) is task
        if current:
            del self._loading[session_id]
        if task.cancelled() or task.exception() is not None or not current:
            return
        self._states.pop(session_id, None)
        if len(self._states) >= _KEPT:
            del self._states[next(iter(self._states))]
        self._states[session_id] = task.result()

    async def _read(self, claims: Claims) -> _State:
        until = time.monotonic() + FRESH_SECONDS
        params = {"one": claims.session_id, "now": utc_now()}
        try:
            async with asyncio.timeout(self._deadline):
                rows = await self._database.fetch(repository.STATE, params, retry=True)
        except TimeoutError:
            raise Unavailable("The database did not answer in time") from None
        if not rows:
            return _State(None, until)
        roles = {row["workspace_id"]: row["role"] for row in rows if row["workspace_id"] is not None}
        personal = next((row["workspace_id"] for row in rows if row["is_personal"]), None)
        scope = Scope(roles, personal)
        first = rows[0]
        caller = Caller(first["user_id"], claims.session_id, first["is_superuser"], claims.scopes, scope)
        return _State(caller, until)
