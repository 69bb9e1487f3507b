from __future__ import annotations

import pytest

from app.transfer import readers
from app.transfer.errors import FileRejected, UnknownFileFormat, UnreadableFile
from app.transfer.own import COLUMNS


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("Home.csv", "TYPE,CONTENT,PRIORITY\ntask,a,1\n", "todoist-csv"),
        ("Home.CSV", "\ufefftype;content\ntask;a\n", "todoist-csv"),
        ("noname", "TYPE,CONTENT\ntask,a\n", "todoist-csv"),
        ("issues.csv", "id,title,body\n1,a,b\n", "csv"),
        ("issues.tsv", "id\ttitle\n1\ta\n", "csv"),
        ("upload", "id,title,body\n1,a,b\n", "csv"),
        ("odd.csv", "a,b\n1,2\n", "csv"),
        ("tasks.csv", ",".join(COLUMNS) + "\n", "csv"),
        ("todo.txt", "(A) call mom +family @phone\n", "todotxt"),
        ("todo.txt", "buy milk, eggs\n", "todotxt"),
        ("a.ics", "BEGIN:VCALENDAR\nVERSION:2.0\n", "icalendar"),
        ("a.txt", "\r\nbegin:vcalendar\r\n", "icalendar"),
        ("board.json", '{"name": "b", "lists": [], "cards": []}', "trello-json"),
        ("board.json", '{"id": "1", "name": "b", "desc": "", "descData": null, "actions": [{', "trello-json"),
        ("tasks.json", '{"format": "task-management-api", "tasks": [', "json"),
        ("tasks.json", '[{"title": "a"}]', "json"),
        ("tasks", ' \n{"tasks": []}', "json"),
    ],
)
def test_a_file_is_known_by_what_it_holds_and_then_by_its_name(name: str, head: str, kind: str) -> None:
    assert readers.detect(name, head.encode()) == kind


def test_detection_reads_utf_16() -> None:
    assert readers.detect("x", "TYPE\tCONTENT\r\ntask\ta\r\n".encode("utf-16")) == "todoist-csv"


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.csv", b"PK\x03\x04rest"),
        ("a.txt", b"\x89PNG\r\n"),
        ("a.ics", b"%PDF-1.7"),
        ("a.txt", bytes(200)),
        ("a", b"\x1f\x8b\x08"),
    ],
)
def test_binary_files_are_refused(name: str, head: bytes) -> None:
    with pytest.raises(UnreadableFile):
        readers.detect(name, head)


@pytest.mark.parametrize(
    ("name", "head"),
    [("a.csv", b""), ("a.txt", b" \n"), ("a.html", b"<!doctype html>"), ("notes.md", b"# Notes\n"), ("a", b"hello")],
)
def test_what_could_be_anything_is_refused_with_what_to_do(name: str, head: bytes) -> None:
    with pytest.raises(UnknownFileFormat, match=r"format|empty or a web page"):
        readers.detect(name, head)


def test_all_refusals_are_of_one_family() -> None:
    assert issubclass(UnknownFileFormat, FileRejected)
    assert issubclass(UnreadableFile, FileRejected)
