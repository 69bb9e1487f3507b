"""What we write we read: JSON and CSV unchanged, iCalendar and todo.txt as far as the formats go."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from app.transfer.model import Comment, Format, ParsedImport, ParsedTask, Recurrence
from app.transfer.own import COLUMNS
from app.transfer.writers import writer_for
from tests.transfer.reading import BERLIN, NOW, UTC_ZONE, at, read

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "'",
    "''",
    "'=x",
    "'quoted'",
    "a|b\\",
    "|",
    'say "hi", now\r\nor\nlater',
]


def written(kind: Format, tasks: Iterable[dict[str, Any]], zone: ZoneInfo = UTC_ZONE) -> bytes:
    writer = writer_for(kind, now=NOW, zone=zone)
    return b"".join([writer.begin(), *(writer.task(task) for task in tasks), writer.end()])


def stored(text: str) -> str:
    return unicodedata.normalize("NFC", text)


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.one_of(st.sampled_from(FORMULAS), st.text(letters, min_size=1, max_size=30)).map(stored).filter(str.strip)
moments = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
rules = st.sampled_from(
    [
        "FREQ=DAILY",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
        "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3",
        "FREQ=DAILY;UNTIL=20300101T000000Z",
    ]
)
sources = st.none() | st.dictionaries(
    texts,
    st.one_of(texts, st.integers(), st.booleans(), st.none(), st.lists(texts, max_size=2)),
    min_size=1,
    max_size=2,
)
names = st.lists(texts, max_size=3, unique_by=str.lower)


@st.composite
def exported(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Tasks of a few projects and sections, as the database would give them, parents first."""
    ids = [f"id-{number}" for number in range(draw(st.integers(0, 4)))]
    tasks = []
    for index, own in enumerate(ids):
        status = draw(st.sampled_from(["todo", "in_progress", "blocked", "done", "cancelled"]))
        project, section = draw(st.sampled_from(["p1", "p2"])), draw(st.sampled_from([None, "s1", "s2"]))
        tasks.append({
            "id": own,
            "key": f"HOME-{index + 1}",
            "workspace_id": "w",
            "project_id": project,
            "project": "Home",
            "section_id": section,
            "section": section and f"+{section}",
            "parent_id": draw(st.sampled_from([None, *ids[:index]])),
            "title": draw(texts),
            "description": draw(st.none() | texts),
            "status": status,
            "priority": draw(st.sampled_from(["none", "low", "medium", "high", "urgent"])),
            "labels": draw(names),
            "assignees": draw(names),
            "start_at": draw(st.none() | moments),
            "due_at": draw(st.none() | moments),
            "estimate_minutes": draw(st.none() | st.integers(0, 5_000_000)),
            "recurrence": draw(st.none() | st.builds(lambda rule: {"rrule": rule, "time_zone": "Europe/Berlin"}, rules)),
            "reminders": sorted(draw(st.lists(moments, max_size=2, unique=True))),
            "comments": draw(st.lists(st.builds(
                lambda body, author, made: {"body": body, "author": author, "created_at": made},
                texts, st.none() | st.just("Ada"), st.none() | moments,
            ), max_size=2)),
            "position": draw(st.floats(-1e15, 1e15)),
            "completed_at": draw(moments) if status == "done" else None,
            "archived_at": draw(st.none() | moments),
            "source": draw(sources),
            "created_by": None,
            "created_at": draw(moments),
            "updated_at": draw(moments),
            "version": draw(st.integers(1, 9)),
        })  # fmt: skip
    for task in tasks:
        task["has_subtasks"] = any(other["parent_id"] == task["id"] for other in tasks)
    return tasks


def essence(task: dict[str, Any]) -> dict[str, Any]:
    """The content of an exported task in the terms of a parsed one."""
    recurrence = task["recurrence"]
    return {
        "title": task["title"],
        "parent": task["parent_id"],
        "project": task["project_id"],
        "section": task["section_id"] and f"{task['project_id']}\n{task['section_id']}",
        "description": task["description"] or "",
        "labels": tuple(task["labels"]),
        "assignees": tuple(task["assignees"]),
        "recurrence": recurrence and Recurrence(**recurrence),
        "reminders": tuple(task["reminders"]),
        "comments": tuple(Comment(**comment) for comment in task["comments"]),
        "source": task["source"] or {},
        **{name: task[name] for name in (
            "status", "priority", "start_at", "due_at", "estimate_minutes", "completed_at", "archived_at", "created_at"
        )},
    }  # fmt: skip


def assert_unchanged(parsed: ParsedImport, tasks: list[dict[str, Any]]) -> None:
    assert (parsed.errors, parsed.warnings, parsed.skipped) == ((), (), 0)
    come: dict[str, ParsedTask] = {task.ref: task for task in parsed.tasks}
    assert {*come} == {task["id"] for task in tasks}
    for task in tasks:
        expected = essence(task)
        assert {name: getattr(come[task["id"]], name) for name in expected} == expected
    assert {project.ref: project.name for project in parsed.projects} == {task["project_id"]: "Home" for task in tasks}


@given(tasks=exported())
def test_our_json_comes_back_unchanged(tasks: list[dict[str, Any]]) -> None:
    assert_unchanged(read(written("json", tasks), "json"), tasks)


@given(tasks=exported())
def test_our_csv_comes_back_unchanged(tasks: list[dict[str, Any]]) -> None:
    assert_unchanged(read(written("csv", tasks), "csv"), tasks)


@given(tasks=exported())
def test_no_cell_of_our_csv_is_a_formula(tasks: list[dict[str, Any]]) -> None:
    for row in csv.reader(io.StringIO(written("csv", tasks).decode(), newline=""), strict=True):
        assert len(row) == len(COLUMNS)
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


@settings(max_examples=60)
@given(tasks=exported())
def test_our_calendar_is_valid_and_comes_back_as_far_as_it_goes(tasks: list[dict[str, Any]]) -> None:
    data = written("icalendar", tasks)
    calendar = Calendar.from_ical(data)
    assert len(calendar.todos) == len(tasks)
    assert not any(todo.errors for todo in calendar.todos)
    assert all(len(line) <= 75 for line in data.split(b"\r\n"))

    come = {task.source["uid"]: task for task in read(data, "icalendar").tasks}
    assert {*come} == {task["id"] for task in tasks}
    for task in tasks:
        back = come[task["id"]]
        assert (back.status, back.priority, back.parent) == (task["status"], task["priority"], task["parent_id"])
        assert back.estimate_minutes == task["estimate_minutes"]
        for name in ("start_at", "due_at", "completed_at", "archived_at", "created_at"):
            assert getattr(back, name) == (task[name] and task[name].replace(microsecond=0))
        assert back.reminders == tuple(sorted({moment.replace(microsecond=0) for moment in task["reminders"]}))
        if task["recurrence"]:
            assert back.recurrence is not None
            assert {*back.recurrence.rrule.split(";")} == {*task["recurrence"]["rrule"].split(";")}


def test_texts_come_back_from_our_calendar() -> None:
    task = {
        "id": "1", "title": "a, b; c \\ d", "description": "one\n\n  two\\n", "project": "Home, sweet", "section": "S;",
        "labels": ["x,y", "z"], "assignees": ["ada@x.test"], "status": "todo", "created_at": NOW,
        "comments": [{"body": "well\nsaid", "author": 'A "B"', "created_at": at(2024, 1, 2)}],
    }  # fmt: skip
    parsed = read(written("icalendar", [task]), "icalendar")
    (back,) = parsed.tasks
    assert (back.title, back.description, back.labels) == ("a, b; c \\ d", "one\n\n  two\\n", ("x,y", "z"))
    assert (parsed.projects[0].name, parsed.sections[0].name) == ("Home, sweet", "S;")
    assert back.assignees == ("ada@x.test",)
    assert back.comments == (Comment("well\nsaid", "A 'B'", at(2024, 1, 2)),)
    assert parsed.warnings == ()


def test_a_title_of_control_characters_is_no_lost_task_in_our_calendar() -> None:
    (back,) = read(
        written("icalendar", [{"id": "1", "title": "\x1b", "status": "todo", "created_at": NOW}]), "icalendar"
    ).tasks
    assert back.title == "\N{REPLACEMENT CHARACTER}"


def test_a_repeating_task_has_its_times_in_a_zone_that_the_calendar_defines() -> None:
    tasks = [
        {"id": str(number), "title": "a", "due_at": at(2024, 7, 1, 10), "created_at": NOW,
         "recurrence": {"rrule": "FREQ=DAILY", "time_zone": "Europe/Berlin"}} for number in range(2)
    ]  # fmt: skip
    data = written("icalendar", tasks).decode()
    assert data.count("BEGIN:VTIMEZONE") == 1
    assert data.count("DUE;TZID=Europe/Berlin:20240701T120000") == 2
    # A start is required beside a rule; it does not come back as one.
    assert data.count("DTSTART;TZID=Europe/Berlin:20240701T120000") == 2
    assert read(data, "icalendar").tasks[0].start_at is None


def test_lines_of_todotxt() -> None:
    tasks = [
        {"id": "1", "title": "Call Mom", "project": "My Family", "labels": ["phone", "at home"], "priority": "urgent",
         "created_at": at(2024, 1, 1), "due_at": at(2024, 1, 5, 22, 59, 59), "has_subtasks": True},
        {"id": "2", "title": "find her number", "parent_id": "1", "status": "done", "priority": "low", "created_at": at(2024, 1, 1),
         "completed_at": at(2024, 1, 2), "recurrence": {"rrule": "FREQ=WEEKLY;INTERVAL=2", "time_zone": "UTC"}},
        {"id": "3", "title": "x (A) 2020-01-01 meet +1 @work", "project": "P", "labels": ["work"], "status": "blocked",
         "created_at": at(2024, 1, 1), "start_at": at(2024, 1, 3), "archived_at": at(2024, 1, 4),
         "recurrence": {"rrule": "FREQ=MONTHLY;BYMONTHDAY=-1", "time_zone": "UTC"}},
    ]  # fmt: skip
    assert written("todotxt", tasks, BERLIN).decode().splitlines() == [
        "(A) 2024-01-01 Call Mom +My_Family @phone @at_home due:2024-01-05 id:1",
        "x 2024-01-02 2024-01-01 find her number pri:D rec:+2w p:1",
        "2024-01-01 +P x (A) 2020-01-01 meet +1 @work t:2024-01-03 rrule:FREQ=MONTHLY;BYMONTHDAY=-1 status:blocked archived:2024-01-04",
    ]
    back = read(written("todotxt", tasks), "todotxt").tasks
    assert [task.title for task in back[:2]] == ["Call Mom", "find her number"]
    assert back[1].parent == back[0].ref
    assert (back[2].status, back[2].archived_at, back[2].project) == ("blocked", at(2024, 1, 4), "P")


words = st.lists(
    st.sampled_from(["x", "(A)", "2024-01-01", "call", "mom", "at", "12:30", "!", "über"]), min_size=1, max_size=6
).map(" ".join)
days = st.integers(0, 20_000).map(lambda day: datetime(1970, 1, 2, tzinfo=UTC) + timedelta(days=day))


@given(
    title=words, status=st.sampled_from(["todo", "in_progress", "blocked", "done", "cancelled"]), made=days, due=st.none() | days,
    priority=st.sampled_from(["none", "low", "medium", "high", "urgent"]), labels=st.sets(st.sampled_from(["a", "b", "c"])),
)  # fmt: skip
def test_todotxt_comes_back_as_far_as_it_goes(
    title: str, status: str, made: datetime, due: datetime | None, priority: str, labels: set[str]
) -> None:
    task = {"id": "1", "title": title, "status": status, "created_at": made, "due_at": due, "priority": priority, "labels": [*labels],
            "completed_at": made if status == "done" else None, "project": "P"}  # fmt: skip
    (back,) = read(written("todotxt", [task]), "todotxt").tasks
    assert (back.title, back.status, back.priority, {*back.labels}, back.project) == (
        title,
        status,
        priority,
        labels,
        "P",
    )
    assert back.created_at == made
    assert (back.due_at and back.due_at.date()) == (due and due.date())


@pytest.mark.parametrize("kind", ["json", "csv", "todotxt", "icalendar"])
def test_an_export_of_nothing_is_a_whole_file(kind: Format) -> None:
    parsed = read(written(kind, []), kind)
    assert (parsed.tasks, parsed.errors) == ((), ())


def test_our_json_says_what_it_is() -> None:
    document = json.loads(written("json", [{"id": "1", "title": "a"}]))
    assert (document["format"], document["version"], document["exported_at"]) == (
        "task-management-api",
        1,
        "2024-01-10T11:00:00Z",
    )


def test_a_format_that_is_only_read_has_no_writer() -> None:
    with pytest.raises(ValueError, match="trello-json"):
        writer_for("trello-json", now=NOW, zone=UTC_ZONE)
