from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.transfer.model import (
    Comment,
    ParsedImport,
    ParsedProject,
    ParsedSection,
    ParsedTask,
    Place,
    Problem,
    Recurrence,
)
from app.transfer.parsing.journal import Journal, item, row
from app.transfer.parsing.trees import planted
from tests.transfer.reading import NOW

FULL = ParsedImport(
    format="csv",
    projects=(ParsedProject("p", "P"),),
    sections=(ParsedSection("s", "S", "p"),),
    tasks=(
        ParsedTask(
            ref="1", title="a", status="done", labels=("Home", "x"), due_at=NOW, attachments=2, reminders=(NOW,)
        ),
        ParsedTask(
            ref="2",
            title="b",
            parent="1",
            labels=("home",),
            archived_at=NOW,
            comments=(Comment("c"),),
            recurrence=Recurrence("FREQ=DAILY", "UTC"),
        ),
    ),
    skipped=3,
    errors=(Problem("e", "E", Place("row", 7)),),
    warnings=(Problem("w", "W", Place("item", "u"), count=2), Problem("v", "V")),
)


def test_the_result_counts_what_came_in() -> None:
    assert FULL.result() == {
        "format": "csv", "projects": 1, "sections": 1, "tasks": 2, "subtasks": 1, "done": 1, "archived": 1, "labels": 2, "comments": 1,
        "due": 1, "recurring": 1, "reminders": 1, "attachments": 2, "skipped": 3,
        "errors": [{"row": 7, "code": "e", "message": "E"}],
        "warnings": [{"item": "u", "code": "w", "message": "W", "count": 2}, {"code": "v", "message": "V"}],
    }  # fmt: skip


def test_an_aborted_import_counts_nothing() -> None:
    result = FULL.result(aborted=True)
    assert {value for value in result.values() if isinstance(value, int)} == {0}
    assert len(result["errors"]) == 1


def test_a_warning_that_repeats_is_one_entry_with_its_first_place() -> None:
    journal = Journal()
    for number in (3, 5, 8):
        journal.warn(row(number), "code", "message")
    assert journal.warnings == (Problem("code", "message", Place("row", 3), count=3),)


def test_the_name_of_an_item_is_short_and_printable() -> None:
    assert item("a\0\ud800" + "b" * 200) == Place("item", "a\ufffd?" + "b" * 97)


@pytest.mark.parametrize("depth", [5_000])
def test_deep_trees_are_planted_without_recursion(depth: int) -> None:
    tasks = [ParsedTask(ref=str(number), title="a", parent=str(number + 1)) for number in range(depth)]
    journal = Journal()
    ordered = planted(tasks, journal, lambda task: row(int(task.ref)))
    assert [task.ref for task in ordered] == [str(number) for number in reversed(range(depth))]
    assert [(problem.code, problem.count) for problem in journal.warnings] == [("parent_missing", 1)]


@given(st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=8))
def test_every_task_is_planted_once_and_behind_its_parent(parents: list[int | None]) -> None:
    tasks = [
        ParsedTask(ref=str(ref), title="a", parent=None if parent is None else str(parent))
        for ref, parent in enumerate(parents)
    ]
    ordered = planted(tasks, Journal(), lambda task: row(int(task.ref)))
    seen: set[str] = set()
    for task in ordered:
        assert task.parent is None or task.parent in seen
        seen.add(task.ref)
    assert seen == {task.ref for task in tasks}
    sound = all(parent is None or parent < ref for ref, parent in enumerate(parents))
    if sound:
        assert sum(task.parent is not None for task in ordered) == sum(parent is not None for parent in parents)
