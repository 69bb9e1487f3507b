from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

from icalendar import Alarm, Timezone, Todo, vCalAddress, vDuration, vRecur

from app.transfer.own import FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUSES = {
    "todo": "NEEDS-ACTION",
    "in_progress": "IN-PROCESS",
    "blocked": "NEEDS-ACTION",
    "done": "COMPLETED",
    "cancelled": "CANCELLED",
}
_PRIORITIES = {"none": 0, "urgent": 1, "high": 3, "medium": 5, "low": 9}
_NAMES = {"created_at": "created", "updated_at": "last-modified", "completed_at": "completed"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""RFC 5545 3.1: no control characters but tabs and, escaped, line feeds. One is replaced and not left out:
a title of nothing else would be empty, and its task lost to the reader."""


class ICalendarWriter:
    """A VCALENDAR with a VTODO for each task (RFC 5545); what it has no property for is in X-TASKAPI- ones.

    A repeating task has its times in the zone of its recurrence, defined by a VTIMEZONE before the first use.
    """

    media_type: ClassVar[str] = "text/calendar; charset=utf-8"
    ending: ClassVar[str] = "ics"

    def __init__(self) -> None:
        self._defined: set[str] = set()

    def begin(self) -> bytes:
        return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//{FORMAT}//EN\r\nCALSCALE:GREGORIAN\r\n".encode()

    def task(self, task: Mapping[str, Any]) -> bytes:
        return self._zone_definition(task) + _todo(task).to_ical()  # type: ignore[no-any-return]

    def end(self) -> bytes:
        return b"END:VCALENDAR\r\n"

    def _zone_definition(self, task: Mapping[str, Any]) -> bytes:
        zone = (task.get("recurrence") or {}).get("time_zone", "UTC")
        if zone == "UTC" or zone in self._defined:
            return b""
        self._defined.add(zone)
        return _defined(zone)


@cache
def _defined(zone: str) -> bytes:
    return Timezone.from_tzid(zone).to_ical()  # type: ignore[no-any-return]


def _todo(task: Mapping[str, Any]) -> Todo:
    todo = Todo()
    todo.add("uid", str(task["id"]))
    # DTSTAMP is required; a task that does not say when it changed says the same in every export.
    todo.add("dtstamp", task.get("updated_at") or task.get("created_at") or datetime(1970, 1, 1, tzinfo=UTC))
    todo.add("summary", _plain(task["title"]))
    if task.get("description"):
        todo.add("description", _plain(task["description"]))
    todo.add("status", _STATUSES[task.get("status") or "todo"])
    todo.add("priority", _PRIORITIES[task.get("priority") or "none"])
    if task.get("labels"):
        todo.add("categories", [_plain(label) for label in task["labels"]])
    for address in task.get("assignees") or []:
        todo.add("attendee", vCalAddress(f"mailto:{_line(address)}"))
    if task.get("parent_id"):
        todo.add("related-to", str(task["parent_id"]), parameters={"RELTYPE": "PARENT"})
    if task.get("estimate_minutes") is not None:
        todo.add("estimated-duration", vDuration(timedelta(minutes=task["estimate_minutes"])))
    _add_times(todo, task)
    _add_own(todo, task)
    for comment in task.get("comments") or []:
        todo.add("comment", _plain(comment["body"]), parameters=_comment_parameters(comment))
    for moment in task.get("reminders") or []:
        todo.add_component(_alarm(moment, task["title"]))
    return todo


def _add_times(todo: Todo, task: Mapping[str, Any]) -> None:
    recurrence = task.get("recurrence")
    zone = ZoneInfo(recurrence["time_zone"]) if recurrence else UTC
    start, due = task.get("start_at"), task.get("due_at")
    if recurrence:
        todo.add("rrule", vRecur.from_ical(recurrence["rrule"]))
        if not start and due:
            # RFC 5545 3.6.2 wants a start beside every rule; ours counts from the due date.
            start = due
            todo.add("x-taskapi-anchor", "DUE")
    for name, moment in (("dtstart", start), ("due", due)):
        if moment:
            todo.add(name, moment.astimezone(zone).replace(microsecond=0))
    for name in ("created_at", "updated_at", "completed_at"):
        if task.get(name):
            todo.add(_NAMES[name], task[name].astimezone(UTC))
    if task.get("status") == "done":
        todo.add("percent-complete", 100)


def _add_own(todo: Todo, task: Mapping[str, Any]) -> None:
    if task.get("status") == "blocked":
        todo.add("x-taskapi-status", "blocked")
    if task.get("archived_at"):
        todo.add("x-taskapi-archived", f"{task['archived_at'].astimezone(UTC):%Y%m%dT%H%M%SZ}")
    for name in ("project", "section"):
        if task.get(name):
            todo.add(f"x-taskapi-{name}", _plain(task[name]))


def _comment_parameters(comment: Mapping[str, Any]) -> dict[str, str]:
    parameters = {}
    if comment.get("author"):
        # A parameter's value holds no quotes (RFC 5545 3.1).
        parameters["X-TASKAPI-AUTHOR"] = _line(comment["author"]).replace('"', "'")
    if comment.get("created_at"):
        parameters["X-TASKAPI-AT"] = f"{comment['created_at'].astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return parameters


def _alarm(moment: datetime, title: str) -> Alarm:
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", _plain(title))
    alarm.add("trigger", moment.astimezone(UTC).replace(microsecond=0))
    return alarm


def _line(text: str) -> str:
    return " ".join(_plain(text).split())


def _plain(text: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))
