"""Real files of other products, with the counts that their collector took with a parser of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.transfer import readers
from app.transfer.model import ParsedImport
from app.transfer.parsing import text
from app.transfer.readers.csv_columns import parse_mapping
from tests.transfer.reading import NOW, at

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "imports"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the collection of real files is not beside this repository")


def load(name: str, mapping: str | None = None) -> ParsedImport:
    path = DATA / name
    with path.open("rb") as file:
        kind = readers.detect(path.name, text.head_of(file))
        return readers.read(
            file, kind, now=NOW, zone=ZoneInfo("UTC"), mapping=parse_mapping(mapping) if mapping else None
        )


def uses(parsed: ParsedImport) -> int:
    return sum(len(task.labels) for task in parsed.tasks)


COUNTS: dict[str, dict[str, int]] = {
    "todoist-csv/basic-with-attachment.csv": {
        "tasks": 3, "subtasks": 1, "comments": 3, "labels": 1, "due": 1, "attachments": 1, "skipped": 3,
    },
    "todoist-csv/no-priority.csv": {"tasks": 4, "subtasks": 3, "comments": 2},
    "todoist-csv/unicode-and-quotes.csv": {"tasks": 3, "subtasks": 1, "comments": 2},
    "todoist-csv/labels-day-hour-week.csv": {"tasks": 4, "labels": 3},
    "todoist-csv/daf-yomi-dates.csv": {"tasks": 222, "due": 222},
    "todoist-csv/saas-wind-down.csv": {"tasks": 60, "subtasks": 12, "sections": 9, "labels": 18},
    "todoist-csv/weekly-commitment-reset.csv": {"tasks": 25, "sections": 6, "labels": 7},
    "todoist-csv/exam-certification-workflow.csv": {"tasks": 49, "sections": 8, "labels": 3},
    "todoist-csv/azure-migration-assessment.csv": {"tasks": 75, "sections": 10},
    "todoist-csv/github-trending-repositories-daily-review.csv": {"tasks": 11, "sections": 6, "labels": 4, "due": 1},
    "todotxt/video-annotator-2011.txt": {"tasks": 14},
    "todotxt/labpowerqt-done.txt": {"tasks": 4, "done": 4},
    "todotxt/qanat-plain.txt": {"tasks": 20, "projects": 0, "labels": 0},
    "todotxt/topydo-50-priorities.txt": {"tasks": 50},
    "icalendar/apple-ical-1.5.ics": {"tasks": 13, "done": 13, "due": 13, "skipped": 14},
    "icalendar/mozilla-1.0.ics": {"tasks": 1, "due": 1, "skipped": 4},
    "icalendar/todos-date-only.ics": {"tasks": 2, "due": 1},
    "icalendar/karm-x-props.ics": {"tasks": 1, "due": 0, "skipped": 1},
    "icalendar/thunderbird-repeat-until.ics": {"tasks": 1, "recurring": 1, "due": 0},
    "icalendar/thunderbird-completed-repeating.ics": {"tasks": 1, "recurring": 1, "due": 1, "done": 0},
    "icalendar/thunderbird-alarm-before-end.ics": {"tasks": 1, "due": 1, "reminders": 1},
    "icalendar/radicale-vtodo-allday.ics": {"tasks": 1, "due": 1, "labels": 2},
    "trello-json/test-drive-2019.json": {
        "projects": 1, "sections": 18, "tasks": 62 + 41, "subtasks": 41, "archived": 40, "done": 7 + 37, "due": 12,
        "labels": 7, "comments": 30, "attachments": 25,
    },
    "trello-json/deck-fixture-2021.json": {"sections": 1, "tasks": 1},
    "volume/asvs-requirements-6-languages.csv": {"tasks": 2061, "labels": 3},
    "volume/rails-issues.csv": {"tasks": 66, "labels": 17},
}  # fmt: skip
BROKEN = {"todoist-csv/weekly-commitment-reset.csv": 1, "todoist-csv/azure-migration-assessment.csv": 39 + 4}


def files() -> Iterator[str]:
    if DATA.is_dir():
        yield from (str(path.relative_to(DATA)) for path in sorted(DATA.glob("*/*")))


def test_every_file_of_the_collection_has_its_counts_here() -> None:
    assert {*files()} == {*COUNTS}


@pytest.mark.parametrize("name", COUNTS)
def test_a_real_file_gives_the_counts_that_are_known_of_it(name: str) -> None:
    result = load(name).result()

    assert {key: result[key] for key in COUNTS[name]} == COUNTS[name]
    assert len(result["errors"]) == BROKEN.get(name, 0)


def test_a_dump_of_checklists_keeps_projects_and_sections_of_six_languages_apart() -> None:
    parsed = load(
        "volume/asvs-requirements-6-languages.csv",
        '{"title": "description", "project": ["lang", "version", "chapter"], "section": "section", "id": "id", '
        '"labels": {"column": "labels", "separator": "|"}}',
    )

    assert (len(parsed.tasks), len(parsed.projects), len(parsed.sections)) == (2061, 101, 494)
    assert sum(not task.labels for task in parsed.tasks) == 48
    assert parsed.errors == ()


def test_issues_with_code_and_line_breaks_come_in_whole() -> None:
    parsed = load("volume/rails-issues.csv")

    assert uses(parsed) == 88
    assert sum(not task.labels for task in parsed.tasks) == 6
    assert sum(not task.description for task in parsed.tasks) == 1
    assert sum("\n" in task.description for task in parsed.tasks) == 61
    assert max(len(task.description) for task in parsed.tasks) >= 18_000
    assert all(task.created_at for task in parsed.tasks)


def test_labels_are_counted_on_each_task() -> None:
    saas = load("todoist-csv/saas-wind-down.csv")
    assert uses(saas) == 203
    assert sum(bool(task.description) for task in saas.tasks) == 9
    assert uses(load("todoist-csv/exam-certification-workflow.csv")) == 147
    assert uses(load("todoist-csv/github-trending-repositories-daily-review.csv")) == 40


def test_shifted_rows_are_named_and_leave_no_half_title() -> None:
    parsed = load("todoist-csv/azure-migration-assessment.csv")
    rows = [problem.place.value for problem in parsed.errors if problem.place]

    assert {73, 91, 106, 119} < {*rows}
    assert len(rows) == len({*rows}) == 43
    assert "Inventory all integrations" not in {task.title for task in parsed.tasks}
    assert [error.place.value for error in load("todoist-csv/weekly-commitment-reset.csv").errors if error.place] == [
        23
    ]


def test_dates_that_are_not_zero_padded_keep_the_year_they_have() -> None:
    due = {task.title: task.due_at for task in load("todoist-csv/daf-yomi-dates.csv").tasks}

    # The last second of the day in Jerusalem, in winter time.
    assert due["Zevachim 109"] == at(2025, 1, 1, 21, 59, 59)
    assert due["Menachot 2"] == at(2026, 1, 13, 21, 59, 59)


def test_a_time_of_day_and_a_duration_are_understood() -> None:
    task = next(task for task in load("todoist-csv/github-trending-repositories-daily-review.csv").tasks if task.due_at)

    assert task.due_at == at(2024, 1, 10, 5, 30)
    assert task.estimate_minutes == 10


def test_projects_and_contexts_of_a_list_are_all_kept() -> None:
    parsed = load("todotxt/video-annotator-2011.txt")
    names = {project.name for project in parsed.projects} | {label for task in parsed.tasks for label in task.labels}

    assert {"document", "test", "Raphaël", "SVGLens", "visualBehaviorTestEnvironment", "debug"} < names
    assert {"quick", "medium", "easy"} < names
    assert len(names) == 6 + 3
    assert sum(task.created_at is not None for task in parsed.tasks) == 14


def test_done_lines_have_both_dates() -> None:
    first = load("todotxt/labpowerqt-done.txt").tasks[0]
    assert (first.completed_at, first.created_at) == (at(2016, 4, 22), at(2016, 4, 19))


def test_a_title_with_a_colon_is_no_pair() -> None:
    assert "High: Roadmap" in {task.title for task in load("todotxt/qanat-plain.txt").tasks}


def test_all_priorities_of_todotxt_are_priorities_here() -> None:
    tasks = load("todotxt/topydo-50-priorities.txt").tasks
    assert sum(task.priority != "none" for task in tasks) == 50
    assert [task.priority for task in tasks[:5]] == ["urgent", "high", "medium", "low", "low"]


def test_an_old_calendar_keeps_folded_texts_and_priorities() -> None:
    parsed = load("icalendar/apple-ical-1.5.ics")

    assert sum(task.priority != "none" for task in parsed.tasks) == 8
    assert sum(bool(task.description) for task in parsed.tasks) == 7
    assert parsed.tasks[0].description == "Applicables standards\nfor software in YES2\nProcess\nGant\nMisc docs\nECSS"
    # A time zone whose definition is not complete is known by its name.
    morten = next(task for task in parsed.tasks if task.title == "Demander fichiers a Morten")
    assert morten.due_at == at(2003, 7, 30, 16, 28, 5)


def test_a_finished_occurrence_belongs_to_its_series() -> None:
    (series,) = load("icalendar/thunderbird-completed-repeating.ics").tasks

    assert series.recurrence is not None
    assert (series.recurrence.rrule, series.recurrence.time_zone) == ("FREQ=DAILY", "America/Chicago")
    # The first occurrence is done, so that the series stands at its second, at the same time of day.
    assert series.due_at == at(2020, 12, 21, 23, 0)
    assert [comment.body for comment in series.comments] == [
        "Occurrence of 2020-12-20T23:00:00Z: done at 2020-12-20T22:01:39Z"
    ]


def test_a_reminder_counts_from_the_due_date() -> None:
    (task,) = load("icalendar/thunderbird-alarm-before-end.ics").tasks
    assert task.reminders == (at(2022, 1, 21, 18, 45),)


def test_a_board_keeps_labels_comments_and_members() -> None:
    parsed = load("trello-json/test-drive-2019.json")

    assert sum(section.archived for section in parsed.sections) == 12
    assert uses(parsed) == 25
    assert sum(bool(task.labels) for task in parsed.tasks) == 21
    assert sum(task.status == "done" and task.parent is None for task in parsed.tasks) == 7
    assert all(comment.author and comment.created_at for task in parsed.tasks for comment in task.comments)
    assert any("Marques Lee" in task.assignees for task in parsed.tasks)
    assert "comments_missing" in {warning.code for warning in parsed.warnings}
    # The address by which anyone can add to a card is a secret.
    assert "user8@example.com" not in repr(parsed)
