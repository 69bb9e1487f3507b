from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from app.projects.schemas import ProjectCreate
from app.tasks.schemas import DESCRIPTION_MAX, MAX_ESTIMATE, Priority, Status, TaskCreate
from app.transfer import model
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
from app.worker.attempt import RESULT_MAX_BYTES
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
        "error_count": 1, "warning_count": 2,
        "errors": [{"row": 7, "code": "e", "message": "E"}],
        "warnings": [{"item": "u", "code": "w", "message": "W", "count": 2}, {"code": "v", "message": "V"}],
    }  # fmt: skip


def test_an_aborted_import_counts_nothing() -> None:
    result = FULL.result(aborted=True)
    assert {value for name, value in result.items() if isinstance(value, int) and not name.endswith("_count")} == {0}
    assert len(result["errors"]) == result["error_count"] == 1


@given(
    st.lists(st.builds(Problem, st.text(max_size=20), st.text(max_size=900), st.builds(Place, st.just("item"), st.text(max_size=100)))),
    st.integers(1, 300),
)  # fmt: skip
def test_whatever_there_is_to_tell_fits_into_the_result_of_a_job(problems: list[Problem], times: int) -> None:
    many = tuple(problems * times)
    result = replace(FULL, errors=many, warnings=many).result()

    assert len(to_json(result)) < RESULT_MAX_BYTES
    assert (result["error_count"], result["warning_count"]) == (len(many), len(many))
    assert result["errors"] == [problem.as_json() for problem in many[: len(result["errors"])]]


def test_an_import_has_the_words_and_bounds_of_the_api() -> None:
    assert (model.Status, model.Priority) == (Status, Priority)
    assert (model.DESCRIPTION_MAX, model.ESTIMATE_MAX) == (DESCRIPTION_MAX, MAX_ESTIMATE)
    schema = TaskCreate.model_json_schema()
    fields, recurrence = schema["properties"], schema["$defs"]["Recurrence"]["properties"]
    assert fields["title"]["maxLength"] == model.TITLE_MAX
    assert fields["labels"]["maxItems"] == model.LABELS_MAX
    assert recurrence["rrule"]["maxLength"] == model.RRULE_MAX
    project = ProjectCreate.model_json_schema()["properties"]
    assert model.NAME_MAX == fields["labels"]["items"]["maxLength"] == project["name"]["maxLength"]


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
