"""From the properties of one VTODO (RFC 5545 section 3.8) to a task."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from app.kit.schema import EARLIEST
from app.transfer.model import Comment, Priority, Recurrence, Status
from app.transfer.parsing.draft import Draft
from app.transfer.parsing.journal import Journal, item
from app.transfer.parsing.moments import as_due, as_start, in_range, read_moment
from app.transfer.parsing.recurrence import rule_of
from app.transfer.readers.ical_lines import Component, Property, parsed
from app.transfer.readers.ical_zones import Zones, iana_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo
    from zoneinfo import ZoneInfo

_STATUSES: dict[str, Status] = {
    "NEEDS-ACTION": "todo",
    "IN-PROCESS": "in_progress",
    "COMPLETED": "done",
    "CANCELLED": "cancelled",
}
_PRIORITIES: tuple[Priority, ...] = ("none", "urgent", "high", "high", "high", "medium", "low", "low", "low", "low")
"""By PRIORITY 0 to 9; 1 to 4 are high in RFC 5545 3.8.1.9."""
_DURATION = re.compile(
    r"([+-])?P(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?",
    re.IGNORECASE | re.ASCII,
)
_BOOKKEEPING = {"DTSTAMP", "LAST-MODIFIED", "SEQUENCE", "UID", "RECURRENCE-ID", "REQUEST-STATUS"}
"""They serve the exchange between calendars and say nothing to a person."""
_AS_TEXT = {"LOCATION": "Location", "URL": "Link", "CONTACT": "Contact", "RESOURCES": "Resources"}
_DONE = 100


@dataclass(slots=True)
class Entry:
    """A VTODO: its task, and what ties it to others."""

    draft: Draft
    uid: str
    zone: tzinfo
    """That of its start, or else of its due date."""
    start: date | datetime | None = None
    """DTSTART, or else DUE: what a recurrence counts from."""
    occurrence: date | datetime | None = None
    """RECURRENCE-ID: this is one occurrence of the task with the same UID."""
    revision: tuple[int, str] = (0, "")
    children: list[str] = field(default_factory=list)
    """UIDs of tasks that this one calls its own."""


@dataclass(frozen=True, slots=True)
class _Times:
    start: date | datetime | None
    due: date | datetime | None
    zone: tzinfo


class TodoReader:
    def __init__(self, journal: Journal, zones: Zones, zone: ZoneInfo) -> None:
        """`zone` is for dates and for times that name none."""
        self._journal = journal
        self._zones = zones
        self._zone = zone

    def read(self, component: Component, number: int) -> Entry:
        """`number` names a task without a UID."""
        draft = Draft(place=item(f"VTODO {number}"), ref="", title="")
        properties: dict[str, list[Property]] = defaultdict(list)
        for line in component.lines:
            if found := parsed(line):
                properties[found.name].append(found)
            else:
                draft.keep(self._journal, line, "broken_line", "A line that is no property became text.")
        uid = _first(properties, "UID")
        draft.place = item(uid) if uid else draft.place
        draft.source = {"format": "icalendar", **({"uid": uid} if uid else {})}
        self._set_texts(draft, properties)
        self._set_state(draft, properties)
        times = self._set_times(draft, properties)
        self._set_recurrence(draft, properties, times)
        for lines in component.alarms:
            self._add_reminder(draft, lines, times)
        entry = Entry(draft, uid, times.zone, times.start or times.due)
        self._set_relations(entry, properties)
        if found := next(iter(properties.pop("RECURRENCE-ID", [])), None):
            entry.occurrence = self._when(draft, found)[0]
        sequence = _first(properties, "SEQUENCE")
        changed = _first(properties, "LAST-MODIFIED") or _first(properties, "DTSTAMP")
        entry.revision = (int(sequence) if re.fullmatch(r"\d{1,9}", sequence, re.ASCII) else 0, changed)
        self._keep_rest(draft, properties)
        return entry

    def _set_texts(self, draft: Draft, properties: dict[str, list[Property]]) -> None:
        draft.title = _take(properties, "SUMMARY")
        draft.description = _take(properties, "DESCRIPTION")
        if not draft.title.strip() and draft.description.strip():
            draft.title = draft.description.strip().splitlines()[0]
            self._journal.warn(
                draft.place, "title_from_description", "A task without a title is called by its description."
            )
        draft.labels = [label for found in properties.pop("CATEGORIES", []) for label in found.items]
        for found in properties.pop("COMMENT", []):
            written = read_moment(found.parameters.get("X-TASKAPI-AT", ""), UTC)
            author = found.parameters.get("X-TASKAPI-AUTHOR")
            draft.comments.append(Comment(found.text, author, as_start(written, UTC) if written else None))
        for found in properties.pop("ATTENDEE", []):
            draft.assignees.extend(filter(None, [_address(found) or found.parameters.get("CN", "")]))
        for found in properties.pop("ATTACH", []):
            self._attach(draft, found)
        for name, title in _AS_TEXT.items():
            for found in properties.pop(name, []):
                if found.text.strip():
                    message = f"{title}s became text." if title != "Resources" else "Resources became text."
                    draft.keep(self._journal, f"{title}: {found.text}", "property_became_text", message)

    def _attach(self, draft: Draft, found: Property) -> None:
        if found.parameters.get("VALUE", "").upper() == "BINARY" or "ENCODING" in found.parameters:
            message = "Files inside of the calendar did not come in."
            self._journal.warn(draft.place, "attachment_not_kept", message)
            return
        name = found.parameters.get("FILENAME") or found.parameters.get("X-FILENAME") or found.value.rsplit("/", 1)[-1]
        draft.attach(self._journal, name, found.value.strip())

    def _set_state(self, draft: Draft, properties: dict[str, list[Property]]) -> None:  # noqa: C901  RFC 5545 3.8.1.11 has many cases
        status = _take(properties, "STATUS").strip().upper()
        percent = _number(_take(properties, "PERCENT-COMPLETE"))
        completed = properties.pop("COMPLETED", [])
        if status in _STATUSES:
            draft.status = _STATUSES[status]
        elif completed or percent == _DONE:
            draft.status = "done"
        elif percent:
            draft.status = "in_progress"
        if status and status not in _STATUSES:
            draft.keep(
                self._journal, f"Status: {status}", "unknown_status", "A status was not understood; it became text."
            )
        if _take(properties, "X-TASKAPI-STATUS") == "blocked" and draft.status != "done":
            draft.status = "blocked"
        if percent and percent != _DONE:
            draft.source["percent_complete"] = percent
        if completed:
            draft.completed_at = self._moment(draft, completed[0], as_start)
        for found in properties.pop("X-TASKAPI-ARCHIVED", []):
            draft.archived_at = self._moment(draft, found, as_start)
        for found in properties.pop("CREATED", []):
            draft.created_at = self._moment(draft, found, as_start)
        written = _take(properties, "PRIORITY")
        priority = _number(written)
        if priority is not None and 0 <= priority < len(_PRIORITIES):
            draft.priority = _PRIORITIES[priority]
        elif written.strip():
            draft.keep(self._journal, f"Priority: {written}", "unknown_priority", "A priority was not understood.")

    def _set_times(self, draft: Draft, properties: dict[str, list[Property]]) -> _Times:
        start, zone = self._taken_when(draft, properties, "DTSTART")
        due, due_zone = self._taken_when(draft, properties, "DUE")
        zone = zone or due_zone or self._zone
        span = _span(_take(properties, "DURATION"))
        if due is None and start is not None and span is not None:
            due = _later(start, span, zone)
        draft.start_at = as_start(start, zone) if start and not _take(properties, "X-TASKAPI-ANCHOR") else None
        draft.due_at = as_due(due, due_zone or zone) if due else None
        if estimate := _span(_take(properties, "ESTIMATED-DURATION")):
            draft.estimate_minutes = estimate[0] * 24 * 60 + estimate[1] // 60
        return _Times(start, due, zone)

    def _set_recurrence(self, draft: Draft, properties: dict[str, list[Property]], times: _Times) -> None:
        for found in properties.pop("RRULE", []):
            rule = rule_of(found.value)
            if rule and draft.recurrence is None:
                at = draft.start_at or draft.due_at or EARLIEST
                draft.recurrence = Recurrence(rule, iana_name(times.zone, at, self._zone))
            else:
                message = "A recurrence was not understood; it became text."
                draft.keep(self._journal, f"RRULE:{found.value}", "unknown_recurrence", message)
        for name in ("EXDATE", "RDATE", "EXRULE"):
            for found in properties.pop(name, []):
                message = "Exceptions of a recurrence became text."
                draft.keep(self._journal, f"{name}: {found.value}", "exception_kept", message)

    def _add_reminder(self, draft: Draft, lines: list[str], times: _Times) -> None:
        alarm = {found.name: found for line in lines if (found := parsed(line))}
        trigger = alarm.get("TRIGGER")
        action = alarm["ACTION"].value.strip().upper() if "ACTION" in alarm else ""
        if action == "NONE":  # how one product says that there is no alarm
            return
        moment = self._triggered(draft, trigger, times) if trigger else None
        if moment is None:
            line = f"Reminder: {trigger.value if trigger else 'no time'}"
            draft.keep(self._journal, line, "reminder_without_time", "A reminder without a known time became text.")
            return
        draft.reminders.append(moment)
        if action in {"EMAIL", "PROCEDURE"} or alarm.keys() & {"ATTACH", "REPEAT"}:
            message = "Alarms became plain reminders: their sounds, recipients and repetitions did not come in."
            self._journal.warn(draft.place, "alarm_simplified", message)

    def _triggered(self, draft: Draft, trigger: Property, times: _Times) -> datetime | None:
        span = _span(trigger.value)
        if span is None:
            return self._moment(draft, trigger, as_start)
        at_end = trigger.parameters.get("RELATED", "").upper() == "END"
        base = (times.due or times.start) if at_end else (times.start or times.due)
        moment = as_start(base, times.zone) if base else None
        later = _later(moment, span, times.zone) if moment else None
        return in_range(later) if isinstance(later, datetime) else None

    def _set_relations(self, entry: Entry, properties: dict[str, list[Property]]) -> None:
        for found in properties.pop("RELATED-TO", []):
            uid = found.text.strip()
            kind = found.parameters.get("RELTYPE", "PARENT").upper()
            if kind == "PARENT" and entry.draft.parent is None and uid:
                entry.draft.parent = uid
                entry.draft.source["related_to"] = uid
            elif kind == "CHILD" and uid:
                entry.children.append(uid)
            elif uid:
                entry.draft.source.setdefault("relations", []).append(f"{kind} {uid}")
                message = "Relations other than parent and child are kept in the source field."
                self._journal.warn(entry.draft.place, "relation_kept", message)

    def _keep_rest(self, draft: Draft, properties: dict[str, list[Property]]) -> None:
        for name in ("X-TASKAPI-PROJECT", "X-TASKAPI-SECTION"):
            if properties[name]:
                draft.source[name] = properties.pop(name)[0].text
        for name, found in properties.items():
            values = [one.text for one in found if one.text.strip().upper() not in {"", "MAILTO:"}]
            if values and name not in _BOOKKEEPING and (name, values) != ("CLASS", ["PUBLIC"]):
                draft.source[name.lower()] = values[0] if len(values) == 1 else values
                self._journal.warn(draft.place, "property_kept", f"{name[:60]} is kept in the source field.")

    def _taken_when(
        self, draft: Draft, properties: dict[str, list[Property]], name: str
    ) -> tuple[date | datetime | None, tzinfo | None]:
        found = properties.pop(name, [])
        return self._when(draft, found[0]) if found else (None, None)

    def _when(self, draft: Draft, found: Property) -> tuple[date | datetime | None, tzinfo]:
        """The value and its zone; a value that is not understood is kept."""
        value = found.value.strip()
        name = found.parameters.get("TZID", "")
        zone = self._zones.zone(name) if name else self._zone
        if zone is None:
            draft.keep(
                self._journal, f"Time zone: {name}", "unknown_time_zone", "A time zone is not known; yours was used."
            )
            zone = self._zone
        when = read_moment(value, zone)
        if when is None and value:
            draft.keep(
                self._journal, f"{found.name}: {value}", "unknown_date", "A date was not understood; it became text."
            )
        return when, UTC if value.upper().endswith("Z") else zone

    def _moment(
        self, draft: Draft, found: Property, at: Callable[[date | datetime, tzinfo], datetime | None]
    ) -> datetime | None:
        when, zone = self._when(draft, found)
        return at(when, zone) if when else None


def _first(properties: dict[str, list[Property]], name: str) -> str:
    return next((found.text.strip() for found in properties.get(name, [])), "")


def _take(properties: dict[str, list[Property]], name: str) -> str:
    """The text of the first property of that name; all of them are taken out."""
    return next((found.text for found in properties.pop(name, [])), "")


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*\d{1,3}\s*", text, re.ASCII) else None


def _address(found: Property) -> str:
    value = found.value.strip()
    return value[7:] if value.lower().startswith("mailto:") else value


def _span(text: str) -> tuple[int, int] | None:
    """A DURATION as days, which follow the clocks of a zone, and seconds, which do not."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()[1:]):
        return None
    sign = -1 if found[1] == "-" else 1
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in found.groups()[1:])
    return sign * (weeks * 7 + days), sign * (hours * 3600 + minutes * 60 + seconds)


def _later(base: date | datetime, span: tuple[int, int], zone: tzinfo) -> date | datetime | None:
    days, seconds = timedelta(days=span[0]), timedelta(seconds=span[1])
    try:
        if not isinstance(base, datetime) and not seconds:
            return base + days
        moment = base if isinstance(base, datetime) else as_start(base, zone)
        if moment is None:
            return None
        local = moment.astimezone(zone).replace(tzinfo=None) + days
        return local.replace(tzinfo=zone).astimezone(UTC) + seconds
    except (OverflowError, ValueError):
        return None
