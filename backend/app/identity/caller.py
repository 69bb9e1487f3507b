"""Who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.changes.recorder import Actor
from app.infra import logging
from app.kit.ids import new_id

if TYPE_CHECKING:
    from uuid import UUID

    from app.access.scope import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in person, as of at most a second ago. `scopes` is what the token is good for; `*` is everything."""

    user_id: UUID
    session_id: UUID
    is_superuser: bool
    scopes: frozenset[str]
    scope: Scope

    def actor(self) -> Actor:
        """The author of what is done now: one operation, however many changes it makes."""
        return Actor(self.user_id, new_id(), session_id=self.session_id, trace_id=logging.trace_id())
