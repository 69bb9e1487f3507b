"""Time zones by the names that calendars give them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from icalendar import Timezone
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from app.kit.schema import zone_named
from app.transfer.readers.ical_lines import parsed

if TYPE_CHECKING:
    from datetime import tzinfo

    from app.transfer.readers.ical_lines import Component

_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2}):?(\d{2})?", re.IGNORECASE | re.ASCII)


class Zones:
    """A TZID is an IANA name, one behind a product's own prefix, a Windows name, an offset, or what its VTIMEZONE defines."""

    def __init__(self, definitions: list[Component]) -> None:
        self._definitions: dict[str, Component] = {}
        for component in definitions:
            if name := _property(component, "TZID"):
                self._definitions.setdefault(name, component)
        self._found: dict[str, tzinfo | None] = {}

    def zone(self, name: str) -> tzinfo | None:
        """The zone, or None where the name means nothing and the file does not define it."""
        if name not in self._found:
            self._found[name] = self._look_up(name)
        return self._found[name]

    def _look_up(self, name: str) -> tzinfo | None:
        definition = self._definitions.get(name)
        named = _named(name) or _named(_property(definition, "X-LIC-LOCATION") if definition else "")
        return named or (_defined(definition) if definition else None)


def iana_name(zone: tzinfo, at: datetime, users: ZoneInfo) -> str:
    """The name to keep with a recurrence: the zone's own, or that of one with the same offsets in the year of `at`.

    The user's zone is tried first, and is the answer where there is none.
    """
    if key := getattr(zone, "key", None):
        return str(key)
    days = [datetime(at.year, month, 15, tzinfo=UTC) for month in (1, 4, 7, 10)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    names = (users.key, "UTC", *WINDOWS_TO_OLSON.values())
    usual = (one for name in names if (one := zone_named(name)))
    return next((one.key for one in usual if [day.astimezone(one).utcoffset() for day in days] == offsets), users.key)


def _named(name: str) -> ZoneInfo | timezone | None:
    parts = name.strip().strip("/").split("/")
    candidates = ["/".join(parts[-length:]) for length in (len(parts), 3, 2, 1) if length <= len(parts)]
    for candidate in (*candidates, WINDOWS_TO_OLSON.get(name, "")):
        if zone := zone_named(candidate):
            return zone
    if found := _OFFSET.fullmatch(name.strip()):
        span = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        return timezone(-span if found[1] == "-" else span) if span < timedelta(days=1) else None
    return None


def _defined(component: Component) -> tzinfo | None:
    """The zone as its VTIMEZONE defines it; None where the definition is not complete, or changes more often than yearly."""
    rules = [line.upper() for line in component.lines if line.upper().startswith("RRULE")]
    if any("FREQ=YEARLY" not in rule or re.search("BY(HOUR|MINUTE|SECOND)", rule) for rule in rules):
        return None
    lines = ["BEGIN:VTIMEZONE", *component.lines, "END:VTIMEZONE", ""]
    try:
        return Timezone.from_ical("\r\n".join(lines)).to_tz(lookup_tzid=False)  # type: ignore[attr-defined,no-any-return]
    except Exception:  # noqa: BLE001  the library raises whatever its parts raise; without a definition the user's zone is used
        return None


def _property(component: Component, name: str) -> str:
    return next((found.value.strip() for line in component.lines if (found := parsed(line)) and found.name == name), "")
