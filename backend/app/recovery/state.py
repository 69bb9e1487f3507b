"""What operators see of backups without looking where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.recovery import repository

if TYPE_CHECKING:
    from datetime import datetime

    from app.worker.line import Fetch


@dataclass(frozen=True, slots=True)
class BackupState:
    """When the newest backup was taken; when one was last proven, and the seconds that restoring it took. None: never."""

    taken_at: datetime | None = None
    verified_at: datetime | None = None
    restore_seconds: float | None = None


async def backup_state(fetch: Fetch) -> BackupState:
    return BackupState(**dict((await fetch(repository.LAST, {}))[0]))
