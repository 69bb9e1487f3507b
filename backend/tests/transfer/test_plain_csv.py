from __future__ import annotations

import pytest

from app.transfer.errors import InvalidMapping, UnreadableFile, WrongFileFormat
from app.transfer.readers.csv_columns import parse_mapping
from tests.transfer.reading import BERLIN, NOW, at, codes, only, read, row_of, titles


def table(*lines: str, mapping: str | None = None):
    return read("\n".join(lines) + "\n", "csv", zone=BERLIN, mapping=mapping)


def test_a_mapping_says_which_column_is_which_field() -> None:
    parsed = table(
        "summary,body,chapter,part,tags,id", '"Do, it",Why,One,Two,x|y z,9',
        mapping='{"title": "summary", "description": "body", "project": "chapter", "section": "part", '
                '"labels": {"column": "tags", "separator": "|"}}',
    )  # fmt: skip
    task = only(parsed)
    assert (task.title, task.description, task.labels) == ("Do, it", "Why", ("x", "y z"))
    assert (parsed.projects[0].name, parsed.sections[0].name) == ("One", "Two")
    assert (task.project, task.section) == (parsed.projects[0].ref, parsed.sections[0].ref)
    assert task.source["columns"] == {"id": "9"}
    assert codes(parsed.warnings) == ["column_kept"]


def test_a_mapping_may_join_columns() -> None:
    parsed = table(
        "t,lang,ch",
        "a,en,One",
        "b,de,One",
        mapping='{"title": "t", "project": {"columns": ["lang", "ch"], "separator": ": "}}',
    )
    assert [project.name for project in parsed.projects] == ["en: One", "de: One"]


@pytest.mark.parametrize(
    "mapping",
    ["", "[]", "{}", "nope", '{"title": 1}', '{"description": "a"}', '{"title": "t", "colour": "c"}', '{"title": {"column": []}}',
     '{"title": {"column": "t", "other": 1}}', '{"title": {"column": "t", "separator": ""}}', "[" * 10_000],
)  # fmt: skip
def test_a_broken_mapping_is_refused(mapping: str) -> None:
    with pytest.raises(InvalidMapping):
        parse_mapping(mapping)


def test_a_mapping_to_a_column_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InvalidMapping, match="name, age"):
        table("name,age", "a,1", mapping='{"title": "title"}')


def test_a_table_without_a_title_is_refused() -> None:
    with pytest.raises(InvalidMapping, match="age, height"):
        table("age,height", "1,2")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Title,Description,Labels,Due Date,Done", "a,why,x,2024-02-03,false"),
        ("Task ID,Created At,Completed At,Name,Section/Column,Assignee,Assignee Email,Due Date,Tags,Notes,Projects,Parent task",
         "1,2024-01-01,,a,Later,Ada,ada@x.test,2024-02-03,x,why,Home,"),
        ("Summary,Issue key,Issue id,Status,Labels,Labels,Due date,Description", "a,H-1,10,To Do,x,,03/Feb/24 12:00 AM,why"),
        ("id,number,title,state,labels,assignees,body,due_on", "1,2,a,open,x,ada,why,2024-02-03T00:00:00Z"),
        ("Subject;Start Date;Due Date;Categories;Notes;Status", "a;;2024-02-03;x;why;Not Started"),
        ("Titel\tBeschreibung\tEtiketten\tFällig", "a\twhy\tx\t3.2.2024"),
    ],
)  # fmt: skip
def test_the_usual_columns_of_other_products_are_guessed(header: str, row: str) -> None:
    task = only(table(header, row))
    assert (task.title, task.description, task.labels, task.status) == ("a", "why", ("x",), "todo")
    assert task.due_at is not None
    assert (task.due_at.year, task.due_at.month) == (2024, 2)


def test_lines_above_the_header_are_skipped() -> None:
    parsed = table(
        '"Date: 2024-01-01"',
        '"Version: 7.1"',
        '"List Name","Title","Content","Due Date"',
        '"Home","a","why","2024-02-03"',
    )
    assert (titles(parsed), parsed.skipped, parsed.projects[0].name) == (["a"], 2, "Home")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_even_where_texts_hold_others(delimiter: str) -> None:
    lines = [delimiter.join(["title", "notes", "labels"])]
    lines += [delimiter.join([f'"a, b; c {number}"', '"x|y\tz, and; more, of, it"', "l"]) for number in range(5)]
    assert titles(table(*lines))[0] == "a, b; c 0"


def test_a_table_of_one_column_is_a_list_of_titles() -> None:
    assert titles(table("title", "a", "", "b c")) == ["a", "b c"]


def test_a_spreadsheets_own_mark_names_the_delimiter() -> None:
    assert titles(table("sep=;", "title;notes", "a, b;c")) == ["a, b"]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems(ends: str) -> None:
    parsed = read(ends.join(["title,notes", 'a,"x' + ends + 'y"', "b,"]), "csv")
    assert titles(parsed) == ["a", "b"]
    assert parsed.tasks[0].description == f"x{ends}y"


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("a|b", ("a", "b")),
        ("a; b", ("a", "b")),
        ("a, b", ("a", "b")),
        ('["a, b", "c"]', ("a, b", "c")),
        ("one word", ("one word",)),
        ("", ()),
    ],
)
def test_lists_are_split_at_their_likeliest_separator(cell: str, labels: tuple[str, ...]) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    assert only(table("title,labels", f"x,{quoted}")).labels == labels


@pytest.mark.parametrize(
    ("word", "status"),
    [("Open", "todo"), ("To Do", "todo"), ("In Progress", "in_progress"), ("doing", "in_progress"), ("On hold", "blocked"),
     ("CLOSED", "done"), ("Completed", "done"), ("Won't do", "cancelled"), ("", "todo")],
)  # fmt: skip
def test_states_in_words(word: str, status: str) -> None:
    assert only(table("title,status", f'x,"{word}"')).status == status


def test_a_tick_or_a_date_of_completion_makes_a_task_done() -> None:
    assert only(table("title,completed", "x,TRUE")).status == "done"
    assert only(table("title,completed", "x,2024-01-01")).status == "done"
    done = only(table("title,completed at", "x,2024-01-01T10:00:00Z"))
    assert (done.status, done.completed_at) == ("done", at(2024, 1, 1, 10))
    assert only(table("title,completed at", "x,")).status == "todo"
    assert only(table("title,status,completed at", "x,open,2024-01-01")).completed_at is None


def test_unknown_words_and_dates_become_text() -> None:
    parsed = table("title,status,priority,due,estimate minutes,rrule", "x,limbo,3,3/4/2024,two,often")
    task = only(parsed)
    assert task.description.splitlines() == [
        "due_at: 3/4/2024", "Status: limbo", "Priority: 3", "Estimate: two", "Recurrence: often",
    ]  # fmt: skip
    assert (task.status, task.priority, task.due_at, task.estimate_minutes, task.recurrence) == (
        "todo",
        "none",
        None,
        None,
        None,
    )
    assert len(parsed.warnings) == 5


def test_priorities_estimates_rules_and_archives() -> None:
    task = only(table("title,priority,estimate minutes,rrule,archived", "x,Highest,90,FREQ=DAILY,yes"))
    assert (task.priority, task.estimate_minutes, task.archived_at) == ("urgent", 90, NOW)
    assert task.recurrence is not None
    assert task.recurrence.time_zone == "Europe/Berlin"
    assert only(table("title,archived", "x,2024-01-01T00:00:00Z")).archived_at == at(2024, 1, 1)
    assert only(table("title,archived", "x,no")).archived_at is None


def test_parents_are_named_by_id_or_by_a_title_that_only_one_task_has() -> None:
    parsed = table(
        "id,title,parent", "1,child,2", "2,top,", "3,other,top", "4,twin,", "5,twin,", "6,lost,twin", "7,self,7"
    )
    by_title = {task.title: task for task in parsed.tasks}
    assert by_title["child"].parent == by_title["other"].parent == by_title["top"].ref
    assert (by_title["lost"].parent, by_title["lost"].description) == (None, "Parent: twin")
    assert by_title["self"].parent is None
    assert titles(parsed)[:2] == ["top", "child"]


@pytest.mark.parametrize(
    ("line", "code"),
    [("1,Hello, world,why,2024", "too_many_cells"), ("1,Hello, world,why,", "too_many_cells"), ("1,half", "too_few_cells"),
     ('1,"open,why,2024', "broken_quotes"), ('1,"say "hi"",why,2024', "broken_quotes"), ("1,a\0b,why,2024", "invalid_character")],
)  # fmt: skip
def test_a_row_that_is_not_whole_is_an_error_and_no_half_title(line: str, code: str) -> None:
    parsed = table("id,title,notes,due", line, "2,good,why,2024-01-01", "3,better,why,2024-01-01")
    assert titles(parsed) == ["good", "better"]
    assert row_of(parsed, code) == [2]


def test_a_delimiter_at_the_end_of_every_row_does_no_harm() -> None:
    assert titles(table("title,notes", "a,b,", "c,d,", "e,f,")) == ["a", "c", "e"]


def test_errors_are_named_by_their_record_not_their_line() -> None:
    parsed = table("title,notes", 'a,"two', 'lines"', "", "b")
    assert row_of(parsed, "too_few_cells") == [4]


def test_big_cells_are_read_and_never_cut() -> None:
    body = "y" * 200_000
    task = only(table("title,notes", f'a,"{body}"'))
    assert task.description + "".join(comment.body for comment in task.comments) == body


def test_comments_of_several_columns_are_kept() -> None:
    assert [comment.body for comment in only(table("title,comment,comment", "a,one,two")).comments] == ["one", "two"]


@pytest.mark.parametrize("data", ["BEGIN:VCALENDAR\n", '{"tasks": []}', "<html><body>", "", "\n\n"])
def test_what_is_no_table_is_refused(data: str) -> None:
    with pytest.raises(WrongFileFormat):
        read(data, "csv")


def test_binary_data_is_no_table() -> None:
    with pytest.raises(UnreadableFile):
        read(b"\x89PNG\r\n\x1a\n" + bytes(50), "csv")


def test_a_table_that_ends_in_the_middle_of_a_letter_is_refused() -> None:
    with pytest.raises(UnreadableFile):
        read("title\nabc\n".encode("utf-16")[:-1], "csv")
