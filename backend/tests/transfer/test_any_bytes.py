"""Whatever a file holds, a reader returns tasks within bounds or refuses the file with an error of its own."""

from __future__ import annotations

from datetime import UTC
from io import BytesIO
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kit.schema import EARLIEST, LATEST
from app.transfer import readers
from app.transfer.errors import FileRejected
from app.transfer.model import FORMATS, Format, ParsedImport, ParsedTask
from tests.transfer.reading import NOW

PIECES: dict[Format, list[str]] = {
    "todoist-csv": [
        "TYPE,CONTENT,PRIORITY,INDENT,DATE,DATE_LANG,TIMEZONE,DURATION,DURATION_UNIT,DEADLINE\n",
        "task,Buy @milk,1,1,every day,en,Europe/Berlin,10,minute,2024-01-01\n", "task,", "note,text\n", "section,S\n",
        "in 5 days", "every! 2 weeks", '"', ",", "\r\n", "\n", "\0", "\ud800", "99", '[[file {"file_url": "x"}]]', "meta,\n",
    ],
    "todotxt": ["x ", "(A) ", "2024-01-01 ", "+p ", "@c ", "due:2024-13-01 ", "rec:+1w ", "rrule:FREQ=DAILY ", "p:1 ", "id:1 ",
                "title ", "\n", "\r", "\0", "k:v ", "9999-12-31 ", "due:0001-01-01 "],
    "icalendar": [
        "BEGIN:VCALENDAR\n", "BEGIN:VTODO\n", "END:VTODO\n", "END:VCALENDAR\n", "UID:1\n", "SUMMARY:x\n", "RELATED-TO:1\n",
        "RRULE:FREQ=DAILY;COUNT=2\n", "RECURRENCE-ID:20240101T000000Z\n", "DTSTART:20240101T000000Z\n", "STATUS:COMPLETED\n",
        "DUE;VALUE=DATE:20240101\n", "DUE;TZID=Nowhere:99991231T235959\n", "BEGIN:VALARM\n", "TRIGGER:-P99999D\n", "END:VALARM\n",
        "BEGIN:VTIMEZONE\n", "TZID:Nowhere\n", "END:VTIMEZONE\n", "BEGIN:STANDARD\n", "END:STANDARD\n", "TZOFFSETTO:+9900\n",
        "DURATION:P999999W\n", "PRIORITY:11\n", "CATEGORIES:a\\,b,c\n", " folded", ":", ";", "\n", "\r\n", "\0", "END:X\n",
    ],
    "trello-json": [
        '{"cards":[', '{"name":"c","id":"1","idList":"l","due":"2024-01-01","dueComplete":true,"pos":1e999}', ",", "]", "}",
        '"lists":[', '{"id":"l","closed":true}', '"checklists":[', '{"idCard":"1","checkItems":[{"name":"i"}]}', '"actions":[',
        '{"type":"commentCard","data":{"card":{"id":"1"},"text":"t"}}', "null", "[" * 50, '"\\ud800"', "1" * 40, "NaN",
    ],
    "csv": ["title", ",", ";", "\t", "due", "labels", "parent", "id", "\n", '"', "a|b", "2024-01-01", "\0", "\ud800", "=1+1", "'",
            "status", "done", "x", "repeat", "FREQ=DAILY", "sep=;\n", "\r", "archived", "yes", "7/13/2024"],
    "json": ['{"tasks":[', "[", '{"title":"t"', ',"id":"1"', ',"parent_id":"1"', ',"due_at":"2024-01-01T00:00:00Z"', "}", "]", ",",
             ',"labels":["a",1]', ',"source":{"a":' + "[" * 300, ',"estimate_minutes":1e9', ',"title":"\\ud800"', "null",
             ',"recurrence":{"rrule":"FREQ=DAILY","time_zone":"UTC"}', "9" * 5000],
}  # fmt: skip


def attempt(data: bytes, kind: Format) -> ParsedImport | None:
    try:
        return readers.read(BytesIO(data), kind, now=NOW, zone=ZoneInfo("America/Los_Angeles"))
    except FileRejected as refused:
        assert refused.detail
        return None


def assert_sound(parsed: ParsedImport) -> None:
    """Everything that the database will ask of a task, and that every ref leads somewhere."""
    projects, sections = {one.ref for one in parsed.projects}, {one.ref for one in parsed.sections}
    seen: set[str] = set()
    for task in parsed.tasks:
        assert task.ref not in seen
        assert task.parent is None or task.parent in seen
        assert task.project is None or task.project in projects
        assert task.section is None or task.section in sections
        seen.add(task.ref)
        assert_within_bounds(task)
    names = [*(one.name for one in parsed.projects), *(one.name for one in parsed.sections)]
    assert all(1 <= len(name) <= 100 and name.strip() for name in names)
    stored = [*names, *(text for task in parsed.tasks for text in texts(task))]
    assert all("\0" not in text and text.encode() is not None for text in stored)
    result = parsed.result()
    assert result["tasks"] == len(parsed.tasks)


def assert_within_bounds(task: ParsedTask) -> None:
    assert 1 <= len(task.title) <= 500
    assert task.title.strip()
    assert len(task.description) <= 65_536
    assert all(1 <= len(label) <= 100 for label in task.labels)
    assert len({label.lower() for label in task.labels}) == len(task.labels) <= 100
    assert all(comment.body.strip() and len(comment.body) <= 65_536 for comment in task.comments)
    assert task.completed_at is None or task.status == "done"
    moments = [task.start_at, task.due_at, task.completed_at, task.archived_at, task.created_at, *task.reminders]
    assert all(moment.tzinfo is UTC and EARLIEST <= moment <= LATEST for moment in moments if moment)
    if task.recurrence:
        assert task.recurrence.rrule.startswith(("FREQ=", "INTERVAL", "BY", "COUNT", "UNTIL", "WKST"))
        ZoneInfo(task.recurrence.time_zone)


def texts(task: ParsedTask) -> list[str]:
    comments = [text for comment in task.comments for text in (comment.body, comment.author or "")]
    return [task.title, task.description, *task.labels, *task.assignees, *comments, repr(task.source)]


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.binary(max_size=400))
def test_random_bytes_are_read_or_refused(kind: Format, data: bytes) -> None:
    parsed = attempt(data, kind)
    if parsed:
        assert_sound(parsed)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=150)
@given(data=st.data())
def test_files_that_almost_make_sense_are_read_or_refused(kind: Format, data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.sampled_from(PIECES[kind]), max_size=30))
    start = "" if data.draw(st.booleans()) else PIECES[kind][0]
    parsed = attempt((start + "".join(pieces)).encode("utf-8", "surrogatepass"), kind)
    if parsed:
        assert_sound(parsed)


@given(name=st.text(max_size=20), head=st.binary(max_size=300))
def test_detection_names_a_format_or_refuses(name: str, head: bytes) -> None:
    try:
        assert readers.detect(name, head) in FORMATS
    except FileRejected as refused:
        assert refused.status == 422
