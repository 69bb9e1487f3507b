"""What a beat does at each tick. Nothing is kept between two ticks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_core import to_json

from app.infra.database import is_lost_or_busy
from app.kit.errors import InvalidInput
from app.kit.ids import new_id
from app.schedules import repository, slots
from app.schedules.builtin import BuiltIn
from app.worker.enqueuing import row_of
from app.worker.kinds import KINDS, JobArgs
from app.worker.line import Fetch

log = structlog.get_logger(__name__)

_JOB_COLUMNS = ("kind", "queue", "priority", "args_version", "max_attempts")


async def put_built_in(fetch: Fetch, built_in: Sequence[BuiltIn]) -> None:
    """Brings the table in line with the code. A new one, or one with new times, first runs at its next slot.

    What an operator has paused stays so, and what an operator has given other times keeps those.
    """
    now = (await fetch(repository.NOW, {}))[0]["now"]
    for schedule in built_in:
        KINDS[schedule.kind]()  # built-in schedules have kinds that need no args: better to fail here than at the slot
        timing = schedule.timing()
        params = {
            "id": new_id(),
            **{name: getattr(schedule, name) for name in ("name", "kind", "misfire", "overlap")},
            **timing,
            "next_slot": slots.upcoming(timing, now, 1)[0],
        }
        changed = [await fetch(statement, params) for statement in (repository.PUT_BUILT_IN, repository.TIME_BUILT_IN)]
        if any(changed):
            log.info("schedule_put", name=schedule.name, interval_seconds=schedule.interval_seconds, cron=schedule.cron)
    for row in await fetch(repository.REMOVE_BUILT_IN, {"names": [schedule.name for schedule in built_in]}):
        log.info("schedule_removed", name=row["name"])
    for row in await fetch(repository.UNKNOWN, {"kinds": list(KINDS)}):
        log.error("schedule_of_unknown_kind", name=row["name"], kind=row["kind"])  # until a beat comes that knows it


Handled = Callable[[str, int], None]
"""Is told that so many slots had an outcome."""


def tell_nobody(_: str, __: int) -> None:
    """For a caller who does not count."""


async def tick(fetch: Fetch, handled: Handled = tell_nobody) -> dict[str, int]:
    """Handles every due slot that no other beat has; returns how many jobs became available, by queue."""
    tokens: Counter[str] = Counter()
    for schedule in await fetch(repository.DUE, {"kinds": list(KINDS)}):
        try:
            tokens.update(await settle(fetch, schedule, handled))
        except InvalidInput as error:  # a zone that the machine no longer knows, say: the others go on
            log.error("schedule_rule_invalid", name=schedule["name"], reason=error.detail)  # noqa: TRY400  no bug of ours
        except Exception as error:
            if is_lost_or_busy(error):
                raise
            log.exception("schedule_failed", name=schedule["name"], schedule_id=str(schedule["id"]))
    for waiting in await fetch(repository.QUEUED, {"kinds": list(KINDS)}):
        tokens.update(await _start_queued(fetch, waiting))
    return dict(+tokens)


async def settle(fetch: Fetch, schedule: Mapping[str, Any], handled: Handled = tell_nobody) -> Counter[str]:
    """Handles the due slots of one row of `repository.DUE`; returns the jobs that became available, by queue."""
    rule = slots.rule_of(schedule)
    due = slots.due(rule, schedule["misfire"], schedule["next_slot"], schedule["now"])
    args = _args_of(schedule)
    rows = [(slot, "paused" if schedule["paused"] else "missed", count) for slot, count in due.missed]
    outcome = "paused" if schedule["paused"] else "enqueued" if args else "invalid_args"
    rows += [(slot, outcome, 1) for slot in due.run]
    params = {
        "schedule_id": schedule["id"],
        "planned": schedule["next_slot"],
        "version": schedule["version"],
        "next_slot": due.next_slot,
        "slots": [slot for slot, _, _ in rows],
        "outcomes": [outcome for _, outcome, _ in rows],
        "counts": [count for _, _, count in rows],
        "job_ids": [new_id() for _ in rows],
        "starts": [slots.start_of(schedule["id"], slot, schedule["jitter_seconds"]) for slot, _, _ in rows],
        **_job(schedule["kind"], args),
    }
    found = await fetch(repository.HANDLE, params)
    outcomes = {row["outcome"]: row["slots"] for row in found}
    for outcome, count in outcomes.items():
        handled(outcome, count)
    if set(outcomes) - {"enqueued", "queued", "paused"}:
        log.warning("slots_not_run", name=schedule["name"], schedule_id=str(schedule["id"]), **outcomes)
    return Counter({KINDS[schedule["kind"]].queue: found[0]["available"]}) if found else Counter()


async def seconds_to_next(fetch: Fetch) -> float | None:
    """Until the next slot of all schedules; negative when it is due, None without a schedule."""
    seconds: float | None = (await fetch(repository.NEXT, {"kinds": list(KINDS)}))[0]["seconds"]
    return seconds


async def _start_queued(fetch: Fetch, waiting: Mapping[str, Any]) -> Counter[str]:
    args = _args_of(waiting)
    params = {
        "schedule_id": waiting["id"],
        "slot": waiting["slot"],
        "outcome": "enqueued" if args else "invalid_args",
        "job_id": new_id(),
        **_job(waiting["kind"], args),
    }
    made = await fetch(repository.START_QUEUED, params)
    return Counter({KINDS[waiting["kind"]].queue: len(made)})


def _args_of(schedule: Mapping[str, Any]) -> JobArgs | None:
    """None where the kind does not take them any more."""
    try:
        return KINDS[schedule["kind"]].model_validate_json(schedule["args"])
    except ValidationError:
        return None


def _job(kind: str, args: JobArgs | None) -> dict[str, Any]:
    """The columns of the job; where its args are of no use, none is made of them."""
    if args is None:
        return {"kind": kind, "queue": "", "priority": 0, "args_version": 0, "max_attempts": 0, "args": "{}"}
    row = row_of(args)
    return {**{name: row[name] for name in _JOB_COLUMNS}, "args": to_json(row["args"]).decode()}
