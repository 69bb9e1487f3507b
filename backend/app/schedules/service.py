"""What a beat does at each tick."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog
from pydantic_core import to_json

from app.kit.clock import utc_now
from app.kit.ids import new_id
from app.schedules import repository, slots
from app.schedules.builtin import BuiltIn
from app.worker.enqueuing import row_of
from app.worker.kinds import KINDS
from app.worker.line import Fetch

log = structlog.get_logger(__name__)


async def put_built_in(fetch: Fetch, built_in: Sequence[BuiltIn]) -> None:
    """Brings the table in line with the code. A new or changed one first runs at its next slot, not at once."""
    for schedule in built_in:
        interval = timedelta(seconds=schedule.interval_seconds)
        KINDS[schedule.kind]()  # built-in schedules have kinds that need no args: better to fail here than at the slot
        params = {
            "id": new_id(),
            "name": schedule.name,
            "kind": schedule.kind,
            "interval_seconds": schedule.interval_seconds,
            "next_slot": slots.next_slot(interval, utc_now()),
        }
        if await fetch(repository.PUT_BUILT_IN, params):
            log.info("schedule_put", name=schedule.name, interval_seconds=schedule.interval_seconds)
    for row in await fetch(repository.REMOVE_BUILT_IN, {"names": [schedule.name for schedule in built_in]}):
        log.info("schedule_removed", name=row["name"])


async def handle_due(fetch: Fetch) -> dict[str, int]:
    """Handles every due slot that no other beat has; returns how many jobs became available, by queue."""
    tokens: dict[str, int] = {}
    for schedule in await fetch(repository.DUE, {}):
        kind = KINDS.get(schedule["kind"])
        if kind is None:
            log.error("schedule_of_unknown_kind", name=schedule["name"], kind=schedule["kind"])
            continue
        job = row_of(kind.model_validate_json(schedule["args"]))
        interval = timedelta(seconds=schedule["interval_seconds"])
        due = slots.due(interval, schedule["misfire"], schedule["next_slot"], schedule["now"])
        wanted = due.missed + due.run
        params = {
            "schedule_id": schedule["id"],
            "slots": wanted,
            "runs": [slot in due.run for slot in wanted],
            "job_ids": [new_id() for _ in wanted],
            "next_slot": due.next_slot,
            **{name: job[name] for name in ("kind", "queue", "priority", "args_version", "max_attempts")},
            "args": to_json(job["args"]).decode(),
        }
        outcomes = {row["outcome"]: row["slots"] for row in await fetch(repository.HANDLE, params)}
        if set(outcomes) - {"enqueued"}:
            log.warning("slots_not_run", name=schedule["name"], **outcomes)
        tokens[kind.queue] = tokens.get(kind.queue, 0) + outcomes.get("enqueued", 0)
    return tokens


async def seconds_to_next(fetch: Fetch) -> float | None:
    """Until the next slot of all schedules; negative when it is due, None without a schedule."""
    seconds: float | None = (await fetch(repository.NEXT, {}))[0]["seconds"]
    return seconds
