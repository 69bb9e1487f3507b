"""When a schedule is due: pure computation, so that every beat finds the same slots."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import islice, takewhile
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.kit.errors import invalid
from app.schedules import cron, recurrence

CATCH_UP_LIMIT = 100
"""Missed slots that `catch_up` makes up for, the latest ones."""
IN_TIME = timedelta(minutes=1)
"""A slot that is not handled so soon is a missed one; `skip` leaves it out."""
DETAILED = 1000
"""So many missed slots of an outage have a row of the history each, the latest ones."""
AT_ONCE = 10_000
"""Slots that are gone through in one go."""
HORIZON = timedelta(days=3653)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


class Rule(Protocol):
    """The one thing that differs between interval, cron expression and recurrence rule."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The slots later than `moment`, in UTC: ever later, each once; ends where the rule does."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    """Slots are whole intervals since 1970: elapsed time, which no time zone changes."""

    length: timedelta

    def after(self, moment: datetime) -> Iterator[datetime]:
        number = (moment - _EPOCH) // self.length
        while True:
            number += 1
            yield _EPOCH + number * self.length


@dataclass(frozen=True, slots=True)
class WallClock:
    """Local times of a zone. `walls` gives them from a naive local time on, in order.

    A time that the clocks skip runs once, as much later as they skip (RFC 5545 3.3.5). A time that comes twice runs the
    first time only; where the rule does not name its hours, both times, so that "every hour" has no pause.
    """

    zone: ZoneInfo
    walls: Callable[[datetime], Iterator[datetime]]
    names_hours: bool

    def after(self, moment: datetime) -> Iterator[datetime]:
        start = moment.astimezone(self.zone).replace(tzinfo=None) - self._shift(moment)
        waiting: list[datetime] = []
        last = moment
        for wall in self.walls(start):
            instants = self._instants(wall)
            for instant in instants:
                heappush(waiting, instant)
            # Around a change of the clocks a later local time can be an earlier moment, by no more than the change.
            certain = instants[0] - self._shift(instants[0])
            while waiting and waiting[0] <= certain:
                slot = heappop(waiting)
                if slot > last:
                    last = slot
                    yield slot
        for slot in sorted(set(waiting)):
            if slot > last:
                yield slot

    def _instants(self, wall: datetime) -> list[datetime]:
        first, second = (wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return [first, second] if first < second and not self.names_hours else [first]

    def _shift(self, moment: datetime) -> timedelta:
        before, after = ((moment + day).astimezone(self.zone).utcoffset() for day in (-_DAY, _DAY))
        return abs((after or timedelta()) - (before or timedelta()))


def rule_of(schedule: Mapping[str, Any]) -> Rule:
    """The rule in the columns of a schedule. Raises InvalidInput that points at what is wrong."""
    if schedule["interval_seconds"] is not None:
        return Interval(timedelta(seconds=schedule["interval_seconds"]))
    try:
        zone = ZoneInfo(schedule["time_zone"])
    except (ZoneInfoNotFoundError, ValueError):  # it was known where the schedule was made
        raise invalid("/time_zone", "unknown_time_zone", "This zone is not known here") from None
    if schedule["cron"] is not None:
        expression = cron.parse(schedule["cron"])
        return WallClock(zone, expression.walls, expression.names_hours)
    repeated = recurrence.parse(schedule["rrule"], schedule["starts_at"], zone)
    return WallClock(zone, repeated.walls, repeated.names_hours)


def upcoming(schedule: Mapping[str, Any], now: datetime, count: int) -> list[datetime]:
    """The slots of the next ten years, at most `count`: later than now, none before `starts_at`.

    Raises InvalidInput where there is none.
    """
    starts_at = schedule["starts_at"]
    after = now if starts_at is None else max(now, starts_at - _INSTANT)
    found = list(islice(takewhile((after + HORIZON).__gt__, rule_of(schedule).after(after)), count))
    if not found:
        pointer = "/cron" if schedule["cron"] is not None else "/rrule"
        raise invalid(pointer, "rule_never_fires", "This rule has no slot in the next ten years")
    return found


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about a schedule now. Of the missed slots, each with how many it stands for; then the next."""

    run: list[datetime]
    missed: list[tuple[datetime, int]]
    next_slot: datetime | None


def due(rule: Rule, misfire: str, planned: datetime, now: datetime) -> Due:
    """`planned` is the next slot as it was written down; `misfire` decides about those that nobody handled in time.

    After a long outage the older slots come first, many in one row, and `next_slot` is not later than now: ask again.
    """
    found = [planned]
    next_slot = None
    for slot in rule.after(planned):
        if slot > now or len(found) == AT_ONCE:
            next_slot = slot
            break
        found.append(slot)
    if len(found) > DETAILED:
        gathered = len(found) - DETAILED
        return Due([], [(planned, gathered)], found[gathered])
    runs = _running(misfire, found, now)
    return Due(found[len(found) - runs :], [(slot, 1) for slot in found[: len(found) - runs]], next_slot)


def _running(misfire: str, found: list[datetime], now: datetime) -> int:
    """How many of the slots, the latest ones, run."""
    if misfire == "catch_up":
        return min(len(found), CATCH_UP_LIMIT)
    return 1 if misfire == "run_once" or now - found[-1] <= IN_TIME else 0


def start_of(schedule_id: UUID, slot: datetime, jitter_seconds: int) -> datetime:
    """When the slot's job may start: up to `jitter_seconds` after it, the same for every beat."""
    if jitter_seconds == 0:
        return slot
    digest = hashlib.blake2b(schedule_id.bytes + slot.isoformat().encode(), digest_size=8).digest()
    return slot + timedelta(seconds=int.from_bytes(digest, "big") % (jitter_seconds + 1))
