from __future__ import annotations

import pytest

from app.transfer.errors import UnreadableFile, WrongFileFormat
from tests.transfer.reading import BERLIN, at, codes, only, read, row_of, titles

HEADER = "TYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE,DURATION,DURATION_UNIT,DEADLINE"


def todoist(*rows: str, header: str = HEADER):
    return read("\n".join([header, *rows]) + "\n", "todoist-csv", zone=BERLIN)


def test_columns_are_read_by_name_whatever_their_order_and_case() -> None:
    task = only(todoist("4,task,Buy milk", header="priority,Type,content"))
    assert (task.title, task.priority) == ("Buy milk", "none")


def test_older_names_of_the_date_columns_are_known() -> None:
    assert only(todoist("task,a,2024-02-03,en", header="TYPE,CONTENT,DUE_DATE,DUE_DATE_LANG")).due_at == at(
        2024, 2, 3, 22, 59, 59
    )


@pytest.mark.parametrize("data", ["\ufeff{}", "{}"])
def test_a_byte_order_mark_and_crlf_do_no_harm(data: str) -> None:
    assert titles(read(data.format("TYPE,CONTENT\r\ntask,a\r\n"), "todoist-csv")) == ["a"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_wide_encodings_are_understood(encoding: str) -> None:
    data = "TYPE,CONTENT\r\ntask,Käse 🧀 kaufen\r\n".encode(encoding)
    assert titles(read(data, "todoist-csv")) == ["Käse 🧀 kaufen"]


def test_a_file_in_windows_1252_is_read_with_a_warning() -> None:
    parsed = read("TYPE,CONTENT\ntask,Käse\n".encode("cp1252"), "todoist-csv")
    assert (titles(parsed), codes(parsed.warnings)) == (["Käse"], ["not_utf8"])


def test_a_broken_letter_is_an_error_of_its_row_only() -> None:
    parsed = read("TYPE,CONTENT\ntask,Käse kaufen für Öç\n".encode() + b"task,bro\xffken\ntask,good\n", "todoist-csv")
    assert titles(parsed) == ["Käse kaufen für Öç", "good"]
    assert row_of(parsed, "invalid_character") == [3]


def test_a_nul_character_is_an_error_of_its_row_only() -> None:
    parsed = todoist("task,a\0b,,,,,,,,,,,", "task,good,,,,,,,,,,,")
    assert titles(parsed) == ["good"]
    assert row_of(parsed, "invalid_character") == [2]


@pytest.mark.parametrize(
    ("delimiter", "line"), [(";", "task;Eggs, milk;4"), ("\t", "task\tEggs, milk\t4"), (",", 'task,"Eggs, milk",4')]
)
def test_a_file_saved_again_by_a_spreadsheet_has_another_delimiter(delimiter: str, line: str) -> None:
    assert titles(read(f"TYPE{delimiter}CONTENT{delimiter}PRIORITY\n{line}\n", "todoist-csv")) == ["Eggs, milk"]


@pytest.mark.parametrize(
    ("number", "priority"), [("1", "urgent"), ("2", "high"), ("3", "medium"), ("4", "none"), ("", "none")]
)
def test_priority_one_is_the_most_urgent(number: str, priority: str) -> None:
    assert only(todoist(f"task,a,,{number},1,,,,,,,,")).priority == priority


def test_a_deeper_task_belongs_to_the_nearest_one_above_that_is_less_deep() -> None:
    parsed = todoist(
        *(f"task,{name},,4,{indent},,,,,,,," for name, indent in zip("abcdef", ["", 2, 3, 2, 1, 3], strict=True))
    )
    names = {task.ref: task.title for task in parsed.tasks}
    assert {task.title: names.get(task.parent or "") for task in parsed.tasks} == {
        "a": None, "b": "a", "c": "b", "d": "a", "e": None, "f": "e",
    }  # fmt: skip


@pytest.mark.parametrize("content", ["a, b and c", "Buy 1,000 things", "a, b, c"])
def test_a_comma_that_is_not_quoted_is_noticed_even_where_it_moves_text_into_the_description(content: str) -> None:
    parsed = todoist("task,top,,4,1,,,,,,,,", f"task,{content},,4,2,,,,,,,,", "task,sibling,,4,2,,,,,,,,")
    assert titles(parsed) == ["top", "sibling"]
    assert row_of(parsed, "shifted_fields") == [3]
    assert parsed.tasks[1].parent == parsed.tasks[0].ref


def test_a_surplus_cell_that_is_empty_does_no_harm() -> None:
    assert titles(todoist("task,a,,4,1,,,,,,,,,", "task,b,,4,1,,,,,,,,")) == ["a", "b"]


def test_a_child_of_a_broken_row_comes_in_on_its_own_with_a_warning() -> None:
    parsed = todoist(
        "task,top,,4,1,,,,,,,,", "task,a, b,,4,2,,,,,,,,", "task,child,,4,3,,,,,,,,", "note,of the child,,,,,,,,,,,"
    )
    child = parsed.tasks[1]
    assert (child.title, child.parent, len(child.comments)) == ("child", None, 1)
    assert "parent_missing" in codes(parsed.warnings)


def test_a_note_of_a_broken_row_is_an_error_too() -> None:
    parsed = todoist("task,good,,4,1,,,,,,,,", "task,bad, row,,4,1,,,,,,,,", "note,of the bad row,,,,,,,,,,,")
    assert parsed.tasks[0].comments == ()
    assert row_of(parsed, "note_without_task") == [4]


def test_tasks_of_a_lost_section_do_not_move_to_the_one_before() -> None:
    parsed = todoist(
        "section,One,,,,",
        "section,Two, and, Three,,",
        "task,a,,4,1,",
        header="TYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,DATE",
    )
    assert only(parsed).section is None
    assert "section_lost" in codes(parsed.warnings)


def test_a_row_that_is_filled_beyond_the_header_is_shifted() -> None:
    parsed = todoist("task,a,,4,1,,,,,,,,,,surplus", "task,b,,4,1,,,,,,,,,,,,")
    assert titles(parsed) == ["b"]
    assert row_of(parsed, "too_many_cells") == [2]


def test_a_line_break_that_is_not_quoted_leaves_no_half_title() -> None:
    parsed = todoist("task,the first half", "and the second,,4,1,,,,,,,,", "task,whole,,4,1,,,,,,,,")
    assert titles(parsed) == ["whole"]
    assert (row_of(parsed, "too_few_cells"), row_of(parsed, "unknown_type")) == ([2], [3])


def test_rows_that_leave_out_their_empty_end_are_fine() -> None:
    assert titles(todoist("task,a", "", "section,S", "task,b,,4")) == ["a", "b"]


def test_a_quote_that_is_not_closed_costs_one_row() -> None:
    parsed = todoist('task,"open,,4,1,,,,,,,,', "task,b,,4,1,,,,,,,,", "task,c,,4,1,,,,,,,,")
    assert titles(parsed) == ["b", "c"]
    assert row_of(parsed, "broken_quotes") == [2]


def test_line_breaks_and_quotes_within_quotes_belong_to_the_text() -> None:
    task = only(todoist('task,"say ""hi""","line 1\r\nline 2",4,1,,,,,,,,'))
    assert (task.title, task.description) == ('say "hi"', "line 1\r\nline 2")


def test_labels_stand_in_the_text() -> None:
    task = only(todoist('task,"@errands buy milk, see a@b.c or @shop, @.day @Errands",,4,1,,,,,,,,'))
    assert task.labels == ("errands", "shop", ".day")
    assert task.title == "buy milk, see a@b.c or @shop,"
    assert task.source["text"].startswith("@errands")


def test_a_label_within_a_sentence_stays_in_the_title() -> None:
    task = only(todoist("task,For each @commitment item: is it valid? @weekly,,4,1,,,,,,,,"))
    assert task.title == "For each @commitment item: is it valid?"
    assert task.labels == ("commitment", "weekly")


def test_a_title_of_labels_only_stays() -> None:
    assert titles(todoist("task,@a @b,,4,1,,,,,,,,")) == ["@a @b"]


def test_notes_keep_author_and_attachments() -> None:
    note = '"look [[file {""file_name"": ""a b.png"", ""file_url"": ""https://x.test/a.png""}]] and [[file {broken]]"'
    task = only(todoist("task,a,,4,1,,,,,,,,", f"note,{note},,,,Ada (17),,,,,,,"))
    (comment,) = task.comments
    assert comment.body == "look [a b.png](https://x.test/a.png) and [[file {broken]]"
    assert (comment.author, task.attachments) == ("Ada (17)", 1)


def test_notes_of_the_whole_project_go_to_its_first_task() -> None:
    parsed = todoist("note,about the project,,,,,,,,,,,", "task,a,,4,1,,,,,,,,")
    assert [comment.body for comment in only(parsed).comments] == ["about the project"]
    assert "note_of_project" in codes(parsed.warnings)


def test_a_note_without_any_task_is_an_error() -> None:
    assert row_of(todoist("note,alone,,,,,,,,,,,"), "note_without_task") == [2]


def test_a_date_counts_in_the_time_zone_of_its_row() -> None:
    row = "task,a,,4,1,,,tomorrow at 9am,en,America/New_York,,,"
    task = only(todoist(row))
    assert task.due_at == at(2024, 1, 11, 14, 0)
    assert task.source["date"] == "tomorrow at 9am"


def test_a_repetition_is_a_rule_in_that_time_zone() -> None:
    task = only(todoist("task,a,,4,1,,,every first monday at 10:00,en,Asia/Tokyo,,,"))
    assert task.recurrence is not None
    assert (task.recurrence.rrule, task.recurrence.time_zone) == ("FREQ=MONTHLY;BYDAY=1MO", "Asia/Tokyo")
    assert task.due_at == at(2024, 2, 5, 1, 0)


def test_repeating_from_completion_is_said_to_be_lost() -> None:
    parsed = todoist("task,a,,4,1,,,every! 2 weeks,en,,,,")
    assert "every! 2 weeks" in only(parsed).description
    assert codes(parsed.warnings) == ["repeats_from_completion"]


@pytest.mark.parametrize("phrase", ["whenever", "every blue moon", "3/4/2024", "every 30 feb", "2024-02-31"])
def test_a_date_that_is_not_understood_becomes_text(phrase: str) -> None:
    parsed = todoist(f"task,a,Read me,4,1,,,{phrase},en,,,,")
    task = only(parsed)
    assert (task.due_at, task.recurrence) == (None, None)
    assert task.description == f"Read me\n\nDate: {phrase}"
    assert codes(parsed.warnings) == ["unknown_date"]


def test_an_unknown_time_zone_is_kept() -> None:
    parsed = todoist("task,a,,4,1,,,2024-02-03,en,Mars/Olympus,,,")
    assert only(parsed).due_at == at(2024, 2, 3, 22, 59, 59)
    assert "Mars/Olympus" in only(parsed).description
    assert codes(parsed.warnings) == ["unknown_time_zone"]


def test_durations_are_estimates() -> None:
    assert only(todoist("task,a,,4,1,,,,,,90,minute,")).estimate_minutes == 90
    assert only(todoist("task,a,,4,1,,,,,,2,day,")).estimate_minutes == 2880
    assert only(todoist("task,a,,4,1,,,,,,None,None,")).estimate_minutes is None


def test_a_deadline_is_due_where_there_is_no_date_and_text_beside_one() -> None:
    assert only(todoist("task,a,,4,1,,,,,,,,2024-03-01")).due_at == at(2024, 3, 1, 22, 59, 59)
    both = todoist("task,a,,4,1,,,2024-02-01,en,,,,2024-03-01")
    assert only(both).due_at == at(2024, 2, 1, 22, 59, 59)
    assert only(both).description == "Deadline: 2024-03-01"
    assert codes(both.warnings) == ["deadline_kept"]


def test_people_and_unknown_columns_are_kept() -> None:
    parsed = todoist("task,a,Bo (1),Al (2),blue", header="TYPE,CONTENT,AUTHOR,RESPONSIBLE,COLOUR")
    task = only(parsed)
    assert task.assignees == ("Al (2)",)
    assert (task.source["author"], task.source["colour"]) == ("Bo (1)", "blue")
    assert codes(parsed.warnings) == ["author_kept", "column_kept"]


def test_a_title_over_500_characters_is_whole_in_the_description() -> None:
    long = "word " * 200
    parsed = todoist(f"task,{long},More,4,1,,,,,,,,")
    task = only(parsed)
    assert len(task.title) <= 500
    assert task.title.endswith("word…")
    assert task.description == f"{long}\n\nMore"
    assert codes(parsed.warnings) == ["title_shortened"]


def test_a_description_over_64_kb_goes_on_in_comments() -> None:
    long = "é" * 70_000 + "end"
    parsed = todoist(f"task,a,{long},4,1,,,,,,,,")
    task = only(parsed)
    assert task.description + task.comments[0].body == long
    assert codes(parsed.warnings) == ["description_split"]


def test_a_cell_bigger_than_the_csv_module_allows_is_read() -> None:
    assert len(only(todoist('task,"' + "x" * 300_000 + '",,4,1,,,,,,,,')).title) == 500


def test_a_very_long_label_and_section_name_are_kept() -> None:
    label, section = "l" * 101, "s" * 130
    parsed = todoist(f"section,{section},,,,,,,,,,,", f"task,a @{label},,4,1,,,,,,,,")
    assert only(parsed).labels == ()
    assert f"Label: {label}" in only(parsed).description
    assert len(parsed.sections[0].name) == 100
    assert any(section in warning.message for warning in parsed.warnings)


def test_two_sections_of_one_name_stay_two() -> None:
    parsed = todoist("section,S", "task,a", "section,S", "task,b")
    assert parsed.tasks[0].section != parsed.tasks[1].section
    assert parsed.result()["sections"] == 2


@pytest.mark.parametrize("data", ["name,age\nAda,36\n", "", "\n\n", "BEGIN:VCALENDAR\n", '{"cards": []}'])
def test_another_table_is_refused(data: str) -> None:
    with pytest.raises(WrongFileFormat):
        read(data, "todoist-csv")


def test_a_spreadsheet_is_refused_with_advice() -> None:
    with pytest.raises(UnreadableFile, match="export it as CSV"):
        read(b"PK\x03\x04" + bytes(100), "todoist-csv")
