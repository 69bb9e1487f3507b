from __future__ import annotations

import pytest

from app.transfer.errors import UnreadableFile, WrongFileFormat
from tests.transfer.reading import BERLIN, at, codes, only, read, row_of, titles


def task_of(line: str):
    return only(read(line, "todotxt"))


def test_a_line_has_priority_creation_date_project_and_contexts() -> None:
    task = task_of("(A) 2011-03-02 Call Mom +Family +PeaceLove @iphone @phone")
    assert (task.title, task.priority, task.project) == ("Call Mom", "urgent", "Family")
    assert task.labels == ("PeaceLove", "iphone", "phone")
    assert task.created_at == at(2011, 3, 2)
    assert task.source["text"] == "Call Mom +Family +PeaceLove @iphone @phone"


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("Really gotta call Mom (A) @phone", "Really gotta call Mom (A)"),
        ("(b) Get back to the boss", "(b) Get back to the boss"),
        ("(B)->Submit TPS report", "(B)->Submit TPS report"),
        ("2011-03-02 (A) Call", "(A) Call"),
        ("2011-02-30 no such day", "2011-02-30 no such day"),
        ("xylophone lesson", "xylophone lesson"),
        ("X 2012-01-01 Make resolutions", "X 2012-01-01 Make resolutions"),
        ("Email a@b.c about 1+1", "Email a@b.c about 1+1"),
        ("create +test of +Raphaël presentation @medium", "create +test of +Raphaël presentation"),
        ("@home +x", "@home +x"),
        ("see http://x.test/a:b at 12:30", "see http://x.test/a:b at 12:30"),
        ("@GroceryStore Eskimo pies", "Eskimo pies"),
        ("+test / +debug", "+test /"),
    ],
)
def test_what_is_no_mark_is_text(line: str, title: str) -> None:
    assert task_of(line).title == title


def test_a_done_line_has_its_completion_date_first() -> None:
    task = task_of("x 2011-03-03 2011-03-01 Review Tim's pull request +TodoTxtTouch @github pri:B")
    assert (task.status, task.completed_at, task.created_at) == ("done", at(2011, 3, 3), at(2011, 3, 1))
    assert (task.title, task.priority) == ("Review Tim's pull request", "high")


def test_dates_of_a_done_line_may_be_missing() -> None:
    assert task_of("x plain").completed_at is None
    assert task_of("x 2011-03-03 one").created_at is None
    assert task_of("x (C) 2011-03-03 one").priority == "medium"


def test_days_are_those_of_the_user() -> None:
    task = only(read("x 2024-07-02 2024-07-01 a due:2024-07-03 t:2024-07-02", "todotxt", zone=BERLIN))
    assert (task.created_at, task.completed_at) == (at(2024, 6, 30, 22), at(2024, 7, 1, 22))
    assert (task.start_at, task.due_at) == (at(2024, 7, 1, 22), at(2024, 7, 3, 21, 59, 59))


def test_priorities_below_d_are_low_and_keep_their_letter() -> None:
    parsed = read("(D) a\n(Q) b\n(Z) c\n", "todotxt")
    assert [task.priority for task in parsed.tasks] == ["low", "low", "low"]
    assert parsed.tasks[1].source["priority"] == "Q"
    assert [(warning.code, warning.count) for warning in parsed.warnings] == [("priority_rounded", 2)]


@pytest.mark.parametrize(
    ("rec", "rule"),
    [
        ("+1d", "FREQ=DAILY"),
        ("+2w", "FREQ=WEEKLY;INTERVAL=2"),
        ("+3m", "FREQ=MONTHLY;INTERVAL=3"),
        ("+1y", "FREQ=YEARLY"),
        ("+1b", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
    ],
)
def test_strict_repetitions_are_rules(rec: str, rule: str) -> None:
    parsed = read(f"Water plants due:2024-01-15 rec:{rec}", "todotxt", zone=BERLIN)
    recurrence = only(parsed).recurrence
    assert recurrence is not None
    assert (recurrence.rrule, recurrence.time_zone, parsed.warnings) == (rule, "Europe/Berlin", ())


def test_a_repetition_from_completion_is_said_to_be_lost() -> None:
    parsed = read("Water plants rec:1w", "todotxt")
    assert only(parsed).recurrence is not None
    assert only(parsed).description == "rec:1w"
    assert codes(parsed.warnings) == ["repeats_from_completion"]


@pytest.mark.parametrize("pair", ["due:tomorrow", "due:2024-13-01", "rec:5x", "rec:2b", "pri:11", "due:0001-01-01"])
def test_values_that_are_not_understood_become_text(pair: str) -> None:
    parsed = read(f"a {pair}", "todotxt")
    task = only(parsed)
    assert (task.title, task.description, task.due_at, task.recurrence) == ("a", pair, None, None)
    assert codes(parsed.warnings) == ["unknown_value"]


def test_other_pairs_are_kept() -> None:
    parsed = read("Pay the bill invoice:42 h:1 +home", "todotxt")
    assert (only(parsed).title, only(parsed).description) == ("Pay the bill", "invoice:42\nh:1")
    assert codes(parsed.warnings) == ["pair_kept"]


def test_ids_make_subtasks_in_any_order() -> None:
    parsed = read("child p:1\nparent id:1\norphan p:9\nlonely id:5\nself id:7 p:7\n", "todotxt")
    by_title = {task.title: task for task in parsed.tasks}
    assert by_title["child"].parent == by_title["parent"].ref
    assert parsed.tasks[0].title == "parent"
    assert by_title["parent"].description == ""
    assert by_title["orphan"].description == "p:9"
    assert by_title["lonely"].description == "id:5"
    assert {*by_title["self"].description.splitlines()} == {"id:7", "p:7"}


def test_blank_lines_are_skipped_and_lines_keep_their_numbers() -> None:
    parsed = read("a\r\n\r\n \nb\0\nc", "todotxt")
    assert (titles(parsed), parsed.skipped) == (["a", "c"], 2)
    assert row_of(parsed, "invalid_character") == [4]


def test_a_long_line_keeps_its_text() -> None:
    line = "word " * 200 + "@home"
    task = task_of(line)
    assert task.description == line
    assert len(task.title) <= 500
    assert task.labels == ("home",)


def test_a_line_of_marks_only_has_them_as_its_title() -> None:
    assert titles(read("x 2020-01-01 2019-01-01 due:2020-01-01\n(A) +p\n", "todotxt")) == ["+p"]
    assert row_of(read("due:2020-01-01\n", "todotxt"), "empty_title") == [1]


@pytest.mark.parametrize(
    "data", ["BEGIN:VCALENDAR\n", '{"tasks": []}', '[{"title": "x"}]', "<!DOCTYPE html>\n", "<?xml version"]
)
def test_documents_are_no_lists(data: str) -> None:
    with pytest.raises(WrongFileFormat):
        read(data, "todotxt")


def test_a_line_may_begin_with_a_bracket() -> None:
    assert titles(read("[ ] buy milk\n{draft} b\n", "todotxt")) == ["[ ] buy milk", "{draft} b"]


def test_binary_data_is_no_list() -> None:
    with pytest.raises(UnreadableFile):
        read(bytes(range(32)) * 20, "todotxt")
