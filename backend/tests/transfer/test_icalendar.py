from __future__ import annotations

import pytest

from app.transfer.errors import WrongFileFormat
from app.transfer.model import ParsedImport, ParsedTask
from tests.transfer.reading import BERLIN, UTC_ZONE, at, codes, only, read, row_of, titles


def calendar(*components: str, head: str = "VERSION:2.0\nPRODID:-//t//EN", zone=UTC_ZONE) -> ParsedImport:
    return read("\n".join(["BEGIN:VCALENDAR", head, *components, "END:VCALENDAR", ""]), "icalendar", zone=zone)


def todo(*lines: str, uid: str = "1", summary: str = "a") -> str:
    return "\n".join(["BEGIN:VTODO", *([f"UID:{uid}"] if uid else []), f"SUMMARY:{summary}", *lines, "END:VTODO"])


def task_of(*lines: str, zone=UTC_ZONE) -> ParsedTask:
    return only(calendar(todo(*lines), zone=zone))


def alarm(*lines: str) -> str:
    return "\n".join(["BEGIN:VALARM", "ACTION:DISPLAY", *lines, "END:VALARM"])


BERLIN_RULES = """BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT"""


def test_only_todos_are_tasks() -> None:
    parsed = calendar("BEGIN:VEVENT\nUID:e\nSUMMARY:no\nEND:VEVENT", todo(), "BEGIN:VJOURNAL\nSUMMARY:no\nEND:VJOURNAL")
    assert (titles(parsed), parsed.skipped, parsed.warnings) == (["a"], 2, ())


def test_lines_are_unfolded_even_within_a_letter() -> None:
    data = "BEGIN:VCALENDAR\r\nBEGIN:VTODO\r\nSUMMARY:Käse\r\nEND:VTODO\r\nEND:VCALENDAR\r\n".encode()
    first, second = data.split(b"\xc3", 1)
    assert titles(read(first + b"\xc3\r\n " + second, "icalendar")) == ["Käse"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_other_encodings_are_understood(encoding: str) -> None:
    assert titles(
        read("BEGIN:VCALENDAR\nBEGIN:VTODO\nSUMMARY:Käse\nEND:VTODO\nEND:VCALENDAR".encode(encoding), "icalendar")
    ) == ["Käse"]


def test_escapes_and_lists_are_undone() -> None:
    task = task_of(r"DESCRIPTION:one\, two\; three\\n\nfour\Nfive", r"CATEGORIES:a\,b,c", "CATEGORIES:d,,C")
    assert task.description == "one, two; three\\n\nfour\nfive"
    assert task.labels == ("a,b", "c", "d")


def test_parameters_may_be_quoted() -> None:
    task = task_of('DUE;X-P="a:b;c,d";TZID="Europe/Berlin":20240701T120000')
    assert task.due_at == at(2024, 7, 1, 10)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], "todo"),
        (["STATUS:NEEDS-ACTION"], "todo"),
        (["STATUS:IN-PROCESS"], "in_progress"),
        (["STATUS:COMPLETED"], "done"),
        (["STATUS:CANCELLED"], "cancelled"),
        (["status:completed"], "done"),
        (["PERCENT-COMPLETE:100"], "done"),
        (["PERCENT-COMPLETE:40"], "in_progress"),
        (["PERCENT-COMPLETE:0"], "todo"),
        (["COMPLETED:20240101T000000Z"], "done"),
        (["STATUS:NEEDS-ACTION", "PERCENT-COMPLETE:40"], "todo"),
    ],
)
def test_states(lines: list[str], status: str) -> None:
    assert task_of(*lines).status == status


def test_an_unknown_state_and_a_share_of_the_work_are_kept() -> None:
    parsed = calendar(todo("STATUS:DRAFT", "PERCENT-COMPLETE:40"))
    assert (only(parsed).status, only(parsed).description) == ("in_progress", "Status: DRAFT")
    assert only(parsed).source["percent_complete"] == 40
    assert codes(parsed.warnings) == ["unknown_status"]


@pytest.mark.parametrize(
    ("number", "priority"),
    [("0", "none"), ("1", "urgent"), ("2", "high"), ("4", "high"), ("5", "medium"), ("6", "low"), ("9", "low")],
)
def test_priorities(number: str, priority: str) -> None:
    assert task_of(f"PRIORITY:{number}").priority == priority


def test_an_impossible_priority_becomes_text() -> None:
    assert task_of("PRIORITY:11").description == "Priority: 11"


@pytest.mark.parametrize(
    ("due", "moment"),
    [
        ("DUE:20240701T120000Z", at(2024, 7, 1, 12)),
        ("DUE:20240701T120000", at(2024, 7, 1, 10)),
        ("DUE;VALUE=DATE:20240701", at(2024, 7, 1, 21, 59, 59)),
        ("DUE:20240701", at(2024, 7, 1, 21, 59, 59)),
        ("DUE;TZID=America/New_York:20240701T120000", at(2024, 7, 1, 16)),
        ("DUE;TZID=/mozilla.org/20050126_1/America/New_York:20240701T120000", at(2024, 7, 1, 16)),
        ("DUE;TZID=W. Europe Standard Time:20240701T120000", at(2024, 7, 1, 10)),
        ("DUE;TZID=GMT+0300:20240701T120000", at(2024, 7, 1, 9)),
        ("DTSTART:20240701T120000Z\nDURATION:P1DT2H", at(2024, 7, 2, 14)),
        ("DTSTART;VALUE=DATE:20240701\nDURATION:P2D", at(2024, 7, 3, 21, 59, 59)),
    ],
)
def test_due_dates(due: str, moment: object) -> None:
    assert task_of(due, zone=BERLIN).due_at == moment


def test_a_time_zone_may_be_defined_by_the_file_only_and_after_its_use() -> None:
    parsed = calendar(
        todo("DTSTART;TZID=Ours:20240701T120000", "RRULE:FREQ=DAILY"),
        f"BEGIN:VTIMEZONE\nTZID:Ours\n{BERLIN_RULES}\nEND:VTIMEZONE",
        zone=BERLIN,
    )
    task = only(parsed)
    assert task.start_at == at(2024, 7, 1, 10)
    assert task.recurrence is not None
    assert task.recurrence.time_zone == "Europe/Berlin"
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    "inside", ["", "BEGIN:STANDARD\nTZOFFSETTO:0100\nEND:STANDARD", BERLIN_RULES.replace("YEARLY", "SECONDLY")]
)
def test_a_time_zone_that_is_not_well_defined_is_the_users_with_a_warning(inside: str) -> None:
    parsed = calendar(
        f"BEGIN:VTIMEZONE\nTZID:X\n{inside}\nEND:VTIMEZONE", todo("DUE;TZID=X:20240701T120000"), zone=BERLIN
    )
    assert only(parsed).due_at == at(2024, 7, 1, 10)
    assert only(parsed).description == "Time zone: X"
    assert codes(parsed.warnings) == ["unknown_time_zone"]


def test_a_broken_date_becomes_text() -> None:
    parsed = calendar(todo("DUE:tomorrow", "DTSTART:00010101T000000Z"))
    task = only(parsed)
    assert (task.due_at, task.start_at) == (None, None)
    assert "DUE: tomorrow" in task.description
    assert "DTSTART: 00010101T000000Z" in task.description


def test_texts_of_other_properties_are_kept() -> None:
    parsed = calendar(
        todo("LOCATION:Here", "URL:https://x.test", "CLASS:PRIVATE", "GEO:1;2", "X-APPLE-SORT-ORDER:5", "ORGANIZER:MAILTO:",
             "ATTENDEE;CN=Ada:mailto:ada@x.test", "COMMENT:well said", "CONTACT:Bo", "CLASS:PUBLIC")
    )  # fmt: skip
    task = only(parsed)
    assert task.description == "Location: Here\nLink: https://x.test\nContact: Bo"
    assert task.assignees == ("ada@x.test",)
    assert [comment.body for comment in task.comments] == ["well said"]
    assert task.source == {
        "format": "icalendar", "uid": "1", "class": ["PRIVATE", "PUBLIC"], "geo": "1;2", "x-apple-sort-order": "5",
    }  # fmt: skip
    assert {"property_became_text", "property_kept"} == {*codes(parsed.warnings)}


def test_attachments_are_links_and_those_inside_are_said_to_be_lost() -> None:
    parsed = calendar(todo("ATTACH;FILENAME=a.pdf:https://x.test/1", "ATTACH;ENCODING=BASE64;VALUE=BINARY:AAAA"))
    assert only(parsed).description == "[a.pdf](https://x.test/1)"
    assert only(parsed).attachments == 1
    assert codes(parsed.warnings) == ["attachment_linked", "attachment_not_kept"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_trees_come_in_any_order(order: tuple[int, ...]) -> None:
    parts = [
        todo(uid="top", summary="top"),
        todo("RELATED-TO:top", uid="mid", summary="mid"),
        todo("RELATED-TO;RELTYPE=PARENT:mid", uid="low", summary="low"),
    ]
    parsed = calendar(*(parts[index] for index in order))
    assert titles(parsed) == ["top", "mid", "low"]
    assert [task.parent for task in parsed.tasks] == [None, "top", "mid"]


def test_a_parent_may_name_its_children() -> None:
    parsed = calendar(todo(uid="c", summary="child"), todo("RELATED-TO;RELTYPE=CHILD:c", uid="p", summary="parent"))
    assert [(task.title, task.parent) for task in parsed.tasks] == [("parent", None), ("child", "p")]


def test_missing_parents_and_circles_are_cut_with_a_warning() -> None:
    missing = calendar(todo("RELATED-TO:event"))
    assert (only(missing).parent, only(missing).source["related_to"]) == (None, "event")
    assert codes(missing.warnings) == ["parent_missing"]
    circle = calendar(
        todo("RELATED-TO:b", uid="a"),
        todo("RELATED-TO:a", uid="b", summary="b"),
        todo("RELATED-TO:c", uid="c", summary="c"),
    )
    assert sum(task.parent is None for task in circle.tasks) == 2
    assert codes(circle.warnings) == ["parent_circle"]


def test_other_relations_are_kept() -> None:
    assert task_of("RELATED-TO;RELTYPE=SIBLING:x").source["relations"] == ["SIBLING x"]


@pytest.mark.parametrize(
    ("trigger", "moment"),
    [
        ("TRIGGER:-PT15M", at(2024, 7, 1, 9, 45)),
        ("TRIGGER;RELATED=START:PT0S", at(2024, 7, 1, 10)),
        ("TRIGGER;VALUE=DURATION;RELATED=END:-PT1H", at(2024, 7, 1, 11)),
        ("TRIGGER;VALUE=DATE-TIME:20240630T080000Z", at(2024, 6, 30, 8)),
        ("TRIGGER:-P1W", at(2024, 6, 24, 10)),
        ("TRIGGER:P1DT12H", at(2024, 7, 2, 22)),
    ],
)
def test_alarms_are_reminders(trigger: str, moment: object) -> None:
    assert task_of("DTSTART:20240701T100000Z", "DUE:20240701T120000Z", alarm(trigger)).reminders == (moment,)


def test_an_alarm_counts_from_the_due_date_where_there_is_no_start() -> None:
    assert task_of("DUE:20240701T120000Z", alarm("TRIGGER:-PT15M")).reminders == (at(2024, 7, 1, 11, 45),)


def test_an_alarm_on_a_day_counts_from_its_beginning() -> None:
    assert task_of("DUE;VALUE=DATE:20240701", alarm("TRIGGER:-PT15M"), zone=BERLIN).reminders == (
        at(2024, 6, 30, 21, 45),
    )


def test_an_alarm_without_a_time_becomes_text() -> None:
    parsed = calendar(todo(alarm("TRIGGER:-PT15M"), alarm("DESCRIPTION:none")))
    assert only(parsed).description == "Reminder: -PT15M\nReminder: no time"
    assert codes(parsed.warnings) == ["reminder_without_time"]


def test_what_else_an_alarm_does_is_said_to_be_lost() -> None:
    parsed = calendar(todo("DUE:20240701T120000Z", "BEGIN:VALARM\nACTION:EMAIL\nTRIGGER:PT0S\nEND:VALARM"))
    assert codes(parsed.warnings) == ["alarm_simplified"]


def test_the_sign_for_no_alarm_is_no_reminder() -> None:
    task = task_of(
        "DUE:20240701T120000Z", "BEGIN:VALARM\nACTION:NONE\nTRIGGER;VALUE=DATE-TIME:19760401T005545Z\nEND:VALARM"
    )
    assert (task.reminders, task.description) == ((), "")


def test_a_rule_counts_in_the_zone_of_its_start() -> None:
    task = task_of("DTSTART;TZID=Asia/Tokyo:20240701T090000", "rrule:freq=weekly;byday=mo,tu")
    assert task.recurrence is not None
    assert (task.recurrence.rrule, task.recurrence.time_zone) == ("FREQ=WEEKLY;BYDAY=MO,TU", "Asia/Tokyo")


@pytest.mark.parametrize(
    "rule", ["D1 #0", "FREQ=SOMETIMES", "FREQ=DAILY;COUNT=1;UNTIL=20240101", "FREQ=DAILY;INTERVAL=0", ""]
)
def test_a_rule_that_is_none_becomes_text(rule: str) -> None:
    parsed = calendar(todo("DUE:20240701T120000Z", f"RRULE:{rule}", "EXDATE:20240702T120000Z"))
    assert only(parsed).recurrence is None
    assert f"RRULE:{rule}" in only(parsed).description
    assert codes(parsed.warnings) == ["unknown_recurrence", "exception_kept"]


SERIES = todo(
    "DTSTART;TZID=Europe/Berlin:20240329T090000", "DUE;TZID=Europe/Berlin:20240329T100000", "RRULE:FREQ=DAILY;COUNT=4"
)


def occurrence(day: str, *lines: str) -> str:
    return todo(f"RECURRENCE-ID;TZID=Europe/Berlin:{day}T090000", *lines)


def test_a_series_stands_at_its_first_occurrence_that_is_not_finished() -> None:
    # The night to 31 March has the change to summer time: nine o'clock stays nine o'clock.
    parsed = calendar(
        occurrence("20240330", "STATUS:CANCELLED"),
        SERIES,
        occurrence("20240329", "STATUS:COMPLETED", "COMPLETED:20240329T093000Z"),
    )
    task = only(parsed)
    assert (task.start_at, task.due_at) == (at(2024, 3, 31, 7), at(2024, 3, 31, 8))
    assert task.recurrence is not None
    assert task.recurrence.rrule == "FREQ=DAILY;COUNT=2"
    assert [comment.body for comment in task.comments] == [
        "Occurrence of 2024-03-29T08:00:00Z: done at 2024-03-29T09:30:00Z",
        "Occurrence of 2024-03-30T08:00:00Z: cancelled",
    ]
    assert codes(parsed.warnings) == ["occurrence_kept"]


def test_a_later_occurrence_that_is_finished_does_not_move_the_series() -> None:
    task = only(calendar(SERIES, occurrence("20240330", "STATUS:COMPLETED")))
    assert task.start_at == at(2024, 3, 29, 8)


def test_a_changed_occurrence_is_told_in_a_comment() -> None:
    changed = occurrence("20240330", "DUE:20240330T200000Z", "DESCRIPTION:bring cake").replace("SUMMARY:a", "SUMMARY:b")
    (comment,) = only(calendar(SERIES, changed)).comments
    assert comment.body == "Occurrence of 2024-03-30T08:00:00Z: todo\nb\nDue: 2024-03-30T20:00:00Z\nbring cake"


@pytest.mark.parametrize("rule", ["COUNT=4", "UNTIL=20240401T070000Z", "UNTIL=20240401T090000", "UNTIL=20240401"])
def test_a_series_of_which_all_is_finished_is_done(rule: str) -> None:
    days = ["20240329", "20240330", "20240331", "20240401"]
    task = only(
        calendar(
            SERIES.replace("COUNT=4", rule),
            *(occurrence(day, "STATUS:COMPLETED", f"COMPLETED:{day}T120000Z") for day in days),
        )
    )
    assert (task.status, task.completed_at) == ("done", at(2024, 4, 1, 12))


def test_an_occurrence_without_its_series_is_a_task() -> None:
    parsed = calendar(occurrence("20240330", "STATUS:COMPLETED"))
    assert only(parsed).status == "done"
    assert codes(parsed.warnings) == ["series_missing"]


def test_tasks_without_a_uid_come_in() -> None:
    parsed = calendar(todo(uid=""), todo(uid="", summary="b"), todo(uid=""))
    assert titles(parsed) == ["a", "b", "a"]


def test_of_several_revisions_the_newest_comes_in() -> None:
    parsed = calendar(
        todo("SEQUENCE:2", "PRIORITY:1"), todo("SEQUENCE:1", "PRIORITY:9"), todo("SEQUENCE:3", "PRIORITY:5")
    )
    assert only(parsed).priority == "medium"
    assert (parsed.skipped, codes(parsed.warnings)) == (2, ["older_revision"])


def test_different_tasks_with_one_uid_all_come_in() -> None:
    parsed = calendar(todo(), todo(summary="b"), todo("RELATED-TO:1", uid="c", summary="c"))
    assert titles(parsed) == ["a", "c", "b"]
    assert codes(parsed.warnings) == ["duplicate_uid"]


def test_a_task_without_a_title_is_called_by_its_description() -> None:
    parsed = calendar("BEGIN:VTODO\nUID:1\nDESCRIPTION:first\\nsecond\nEND:VTODO", "BEGIN:VTODO\nUID:2\nEND:VTODO")
    assert (only(parsed).title, only(parsed).description) == ("first", "first\nsecond")
    assert row_of(parsed, "empty_title") == ["2"]


def test_the_calendar_is_the_project() -> None:
    parsed = calendar(todo(), head="X-WR-CALNAME:Groceries\\, weekly")
    assert [project.name for project in parsed.projects] == ["Groceries, weekly"]
    assert only(parsed).project == parsed.projects[0].ref


def test_a_task_that_is_cut_off_is_an_error_and_the_rest_comes_in() -> None:
    parsed = read("BEGIN:VCALENDAR\n" + todo() + "\nBEGIN:VTODO\nUID:cut\nSUMMARY:half a ti", "icalendar")
    assert titles(parsed) == ["a"]
    assert row_of(parsed, "truncated_item") == ["cut"]
    assert codes(parsed.warnings) == ["calendar_not_closed"]


def test_parts_of_a_task_are_not_taken_for_its_own_properties() -> None:
    task = task_of("BEGIN:PARTICIPANT\nUID:other\nSUMMARY:other\nEND:PARTICIPANT", "PRIORITY:1")
    assert (task.title, task.priority, task.source["uid"]) == ("a", "urgent", "1")


def test_a_line_that_is_no_property_becomes_text() -> None:
    assert task_of("this line lost its fold").description == "this line lost its fold"


def test_estimates_are_minutes() -> None:
    assert task_of("ESTIMATED-DURATION:PT1H30M").estimate_minutes == 90


@pytest.mark.parametrize(
    "data", ["", "TYPE,CONTENT\ntask,a\n", "BEGIN:VCARD\nEND:VCARD\n", "END:VCALENDAR", "SUMMARY:x\n" + todo()]
)
def test_what_is_no_calendar_is_refused(data: str) -> None:
    with pytest.raises(WrongFileFormat):
        read(data, "icalendar")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(WrongFileFormat):
        read("BEGIN:VCALENDAR\n" + "BEGIN:X\n" * 1000, "icalendar")
