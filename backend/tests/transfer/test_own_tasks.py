from __future__ import annotations

import json
from typing import Any

import pytest

from app.transfer.errors import WrongFileFormat
from app.transfer.own import COLUMNS
from tests.transfer.reading import codes, only, read, row_of, titles


def listed(*tasks: Any) -> Any:
    return read(json.dumps({"tasks": list(tasks)}), "json")


@pytest.mark.parametrize(
    "document", ['[{"title": "a"}]', '{"tasks": [{"title": "a"}]}', '{"items": [{"title": "a"}], "next_cursor": null}']
)
def test_lists_of_tasks_in_several_shapes(document: str) -> None:
    assert titles(read(document, "json")) == ["a"]


@pytest.mark.parametrize("document", ["", "{}", "5", '{"tasks": 5}', "[1", "NaN", '{"cards": []}'])
def test_what_holds_no_list_is_refused(document: str) -> None:
    with pytest.raises(WrongFileFormat):
        read(document, "json")


@pytest.mark.parametrize(
    "members",
    [{"title": 5}, {}, {"title": "a", "status": "open"}, {"title": "a", "due_at": "2024-01-01T00:00:00"}, {"title": "a", "labels": "x"},
     {"title": "a", "due_at": "1969-01-01T00:00:00Z"}, {"title": "a", "estimate_minutes": 1.5}, {"title": "a", "comments": [{}]}],
)  # fmt: skip
def test_a_wrong_member_is_an_error_of_its_task_only(members: dict[str, Any]) -> None:
    parsed = listed(members, {"title": "good"})
    assert titles(parsed) == ["good"]
    assert row_of(parsed, "invalid_field") == ["/tasks/0"]


def test_errors_do_not_repeat_what_was_sent() -> None:
    (problem,) = listed({"title": "a", "status": "s3cret"}).errors
    assert "s3cret" not in problem.message


def test_a_blank_title_and_a_lone_surrogate_are_errors() -> None:
    parsed = listed({"title": " "}, {"title": "\ud800"}, 5)
    assert codes(parsed.errors) == ["not_an_object", "empty_title", "invalid_character"]


def test_unknown_members_are_kept_in_the_source() -> None:
    parsed = listed({"title": "a", "colour": "red", "nothing": None, "source": {"row": 1}})
    assert only(parsed).source == {"row": 1, "colour": "red"}
    assert codes(parsed.warnings) == ["field_kept"]


def test_attachments_that_an_export_counted_are_missed() -> None:
    parsed = listed({"title": "a", "attachment_count": 2}, {"title": "b", "attachment_count": 0}, {"title": "c"})
    assert [task.source for task in parsed.tasks] == [{}, {}, {}]
    assert [(one.code, one.count) for one in parsed.warnings] == [("attachments_left_out", 1)]


def test_a_rule_or_zone_that_is_none_becomes_text() -> None:
    task = only(listed({"title": "a", "recurrence": {"rrule": "FREQ=DAILY", "time_zone": "Mars"}}))
    assert (task.recurrence, task.description) == (None, "RRULE:FREQ=DAILY (Mars)")


def test_what_each_machine_means_something_else_by_is_no_zone() -> None:
    task = only(listed({"title": "a", "recurrence": {"rrule": "FREQ=DAILY", "time_zone": "localtime"}}))
    assert (task.recurrence, task.description) == (None, "RRULE:FREQ=DAILY (localtime)")


def test_two_tasks_with_one_id_both_come_in() -> None:
    parsed = listed({"title": "a", "id": "1"}, {"title": "b", "id": "1"}, {"title": "c", "parent_id": "1"})
    assert sorted(titles(parsed)) == ["a", "b", "c"]
    assert codes(parsed.warnings) == ["duplicate_id"]


def test_a_missing_parent_is_told() -> None:
    assert codes(listed({"title": "a", "parent_id": "gone"}).warnings) == ["parent_missing"]


@pytest.mark.parametrize(
    ("column", "cell"),
    [("comments", "[{"), ("comments", "[1]"), ("source", "[]"), ("estimate_minutes", "many"), ("due_at", "soon"), ("version", "1.5"),
     ("source", "[" * 100_000)],
)  # fmt: skip
def test_a_broken_cell_of_our_csv_is_an_error_of_its_row(column: str, cell: str) -> None:
    cells = dict.fromkeys(COLUMNS, "") | {"title": "a", column: '"' + cell.replace('"', '""') + '"'}
    parsed = read(f"{','.join(COLUMNS)}\n{','.join(cells.values())}\n", "csv")
    assert (titles(parsed), row_of(parsed, "invalid_field")) == ([], [2])


def test_a_quote_that_a_person_wrote_into_our_csv_stays() -> None:
    cells = dict.fromkeys(COLUMNS, "") | {"title": "'tis the season"}
    assert titles(read(f"{','.join(COLUMNS)}\n{','.join(cells.values())}\n", "csv")) == ["'tis the season"]
