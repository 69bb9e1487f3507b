from __future__ import annotations

import json
from typing import Any

import pytest

from app.transfer.errors import WrongFileFormat
from app.transfer.model import Comment, ParsedImport, ParsedTask
from tests.transfer.reading import NOW, at, codes, only, read, row_of, titles


def board(*cards: Any, **members: Any) -> ParsedImport:
    lists = [{"id": "l", "name": "To do", "pos": 1}]
    return read(json.dumps({"name": "Home", "lists": lists, "cards": list(cards), **members}), "trello-json")


def card(**members: Any) -> dict[str, Any]:
    return {"id": "c", "name": "a", "idList": "l", **members}


def task_of(**members: Any) -> ParsedTask:
    return only(board(card(**members)))


def test_the_board_is_a_project_and_its_lists_are_sections_in_their_order() -> None:
    lists = [{"id": "2", "name": "Done", "pos": 9, "closed": True}, {"id": "1", "name": "Done", "pos": 2.5}]
    parsed = board(card(id="x", idList="2", name="b"), card(id="y", idList="1", name="a"), lists=lists, desc="ours")
    assert [(project.name, project.description) for project in parsed.projects] == [("Home", "ours")]
    assert [(section.ref, section.archived) for section in parsed.sections] == [("1", False), ("2", True)]
    assert [(task.title, task.section) for task in parsed.tasks] == [("a", "1"), ("b", "2")]


def test_an_archived_card_is_archived_and_not_done() -> None:
    task = task_of(closed=True, dateLastActivity="2019-06-05T20:31:50.505Z")
    assert (task.status, task.archived_at) == ("todo", at(2019, 6, 5, 20, 31, 50, 505_000))
    assert task_of(closed=True).archived_at == NOW
    assert task_of(closed=False).archived_at is None


def test_a_card_of_an_archived_list_is_archived() -> None:
    assert only(board(card(), lists=[{"id": "l", "name": "x", "closed": True}])).archived_at == NOW


def test_when_a_card_was_made_done_and_archived_stands_among_the_actions() -> None:
    actions = [
        {
            "type": "updateCard",
            "date": "2020-01-03T00:00:00Z",
            "data": {"card": {"id": "c", "closed": True}, "old": {"closed": False}},
        },
        {"type": "updateCard", "date": "2020-01-02T00:00:00Z", "data": {"card": {"id": "c", "dueComplete": True}}},
        {"type": "createCard", "date": "2020-01-01T00:00:00Z", "data": {"card": {"id": "c"}}},
        {"type": "createCard", "date": "never", "data": None},
    ]
    task = only(board(card(closed=True, dueComplete=True, due="2020-01-05T12:00:00.000Z"), actions=actions))
    assert (task.created_at, task.completed_at, task.archived_at) == (at(2020, 1, 1), at(2020, 1, 2), at(2020, 1, 3))
    assert (task.status, task.due_at) == ("done", at(2020, 1, 5, 12))


def test_an_id_of_24_digits_tells_when_a_card_was_made() -> None:
    assert task_of(id="5ca52cb575957147d4491882").created_at == at(2019, 4, 3, 21, 59, 17)


def test_labels_by_id_written_out_and_without_a_name() -> None:
    labels = [{"id": "1", "name": "Big", "color": "red"}, {"id": "2", "name": "", "color": "sky"}]
    assert only(board(card(idLabels=["1", "2"]), labels=labels)).labels == ("Big", "sky")
    assert task_of(labels=[{"name": "Old", "color": "red"}]).labels == ("Old",)
    assert only(board(card(idLabels=["1"], labels=[{"id": "1", "name": "Big"}]), labels=labels)).labels == ("Big",)
    assert task_of(idLabels=["gone"]).labels == ("gone",)


def test_members_are_assignees_by_name() -> None:
    members = [{"id": "m", "fullName": "Ada L", "username": "ada"}, {"id": "n", "username": "bo"}]
    assert only(board(card(idMembers=["m", "n", "gone"]), members=members)).assignees == ("Ada L", "bo", "gone")


def test_comments_are_in_order_with_author_and_time() -> None:
    def comment(text: str, day: int, **members: Any) -> dict[str, Any]:
        return {
            "type": "commentCard",
            "date": f"2020-01-0{day}T00:00:00Z",
            "data": {"text": text, "card": {"id": "c"}},
            **members,
        }

    actions = [
        comment("second", 2, idMemberCreator="m"),
        comment("first", 1, memberCreator={"fullName": "Bo"}),
        comment("", 3),
    ]
    parsed = board(card(), actions=actions, members=[{"id": "m", "fullName": "Ada"}])
    assert only(parsed).comments == (Comment("first", "Bo", at(2020, 1, 1)), Comment("second", "Ada", at(2020, 1, 2)))
    embedded = task_of(actions=[{"type": "commentCard", "data": {"text": "inside"}}])
    assert embedded.comments == (Comment("inside"),)


def test_missing_comments_and_those_of_missing_cards_are_told() -> None:
    action = {"type": "commentCard", "data": {"text": "t", "card": {"id": "gone"}}}
    parsed = board(card(badges={"comments": 3}), actions=[action])
    assert codes(parsed.warnings) == ["comments_missing", "card_missing"]
    assert parsed.skipped == 1


@pytest.mark.parametrize("embedded", [True, False])
def test_items_of_checklists_are_subtasks_in_old_and_new_shapes(embedded: bool) -> None:
    items = [
        {"id": "2", "name": "second", "pos": 2, "state": "complete", "due": "2020-02-01T00:00:00Z", "idMember": "m"},
        {"id": "1", "name": "first", "pos": 1, "state": "incomplete"},
    ]
    checklist = {"id": "k", "idCard": "c", "name": "Steps", "checkItems": items}
    parsed = board(
        card(checklists=[checklist]) if embedded else card(idChecklists=["k"]),
        **({} if embedded else {"checklists": [checklist]}),
    )
    assert [(task.title, task.parent, task.status) for task in parsed.tasks] == [
        ("a", None, "todo"), ("first", "c", "todo"), ("second", "c", "done"),
    ]  # fmt: skip
    assert parsed.tasks[2].due_at == at(2020, 2, 1)
    assert parsed.tasks[2].assignees == ("m",)
    assert parsed.tasks[1].source["checklist"] == "Steps"


def test_states_of_items_may_stand_on_the_card() -> None:
    checklists = [{"idCard": "c", "checkItems": [{"id": "i", "name": "x"}]}]
    parsed = board(card(checkItemStates=[{"idCheckItem": "i", "state": "complete"}]), checklists=checklists)
    assert parsed.tasks[1].status == "done"


def test_an_empty_checklist_and_one_of_a_missing_card_are_told() -> None:
    checklists = [{"idCard": "c", "name": "Empty", "checkItems": []}, {"idCard": "gone", "checkItems": []}]
    parsed = board(card(), checklists=checklists)
    assert only(parsed).description == "Checklist: Empty"
    assert codes(parsed.warnings) == ["checklist_empty", "card_missing"]


def test_what_has_no_field_becomes_text() -> None:
    fields = [
        {"id": "f", "name": "Size", "options": [{"id": "o", "value": {"text": "XL"}}]},
        {"id": "g", "name": "Cost"},
    ]
    parsed = board(
        card(
            desc="Read me",
            attachments=[
                {"name": "a.png", "url": "https://x.test/a.png"},
                {"name": "https://y.test", "url": "https://y.test"},
            ],
            customFieldItems=[{"idCustomField": "f", "idValue": "o"}, {"idCustomField": "g", "value": {"number": "5"}}],
            locationName="Paris",
            idMembersVoted=["m"],
            isTemplate=True,
            stickers=[{"image": "star"}],
        ),
        customFields=fields,
        members=[{"id": "m", "fullName": "Ada"}],
        powerUps=["calendar"],
    )
    task = only(parsed)
    assert task.description == (
        "Read me\n\n[a.png](https://x.test/a.png)\nhttps://y.test\nSize: XL\nCost: 5\nLocation: Paris"
    )
    assert task.attachments == 2
    assert (task.source["voters"], task.source["template"]) == (["Ada"], True)
    assert codes(parsed.warnings) == [
        "attachment_linked", "custom_field_kept", "location_kept", "votes_kept", "template_kept", "not_kept", "not_kept",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "reminders"), [(1440, (at(2020, 1, 4, 12),)), (0, (at(2020, 1, 5, 12),)), (-1, ()), (None, ())]
)
def test_a_reminder_counts_from_the_due_date(before: int | None, reminders: object) -> None:
    assert task_of(due="2020-01-05T12:00:00Z", dueReminder=before).reminders == reminders
    assert task_of(dueReminder=before).reminders == ()


def test_a_broken_date_becomes_text() -> None:
    parsed = board(card(due="soon", start="2020-01-05T12:00:00Z"))
    assert (only(parsed).due_at, only(parsed).start_at) == (None, at(2020, 1, 5, 12))
    assert only(parsed).description == "due: soon"


def test_a_card_needs_a_name_and_no_more() -> None:
    parsed = board(
        {"name": "bare"},
        {"name": "twin", "id": "t"},
        {"name": "twin 2", "id": "t"},
        {"id": "n", "idList": "l"},
        5,
        None,
    )
    assert {*titles(parsed)} == {"bare", "twin", "twin 2"}
    assert row_of(parsed, "empty_title") == ["n"]
    assert row_of(parsed, "not_an_object") == ["cards/4", "cards/5"]
    assert "section_missing" in codes(parsed.warnings)


def test_half_an_emoji_is_an_error_of_its_card_only() -> None:
    parsed = board(card(name="cut \ud83d"), card(id="d", name="good"))
    assert titles(parsed) == ["good"]
    assert row_of(parsed, "invalid_character") == ["c"]


def test_members_of_the_wrong_type_count_as_missing() -> None:
    parsed = board(
        card(idLabels="x", labels=7, desc=None, idMembers={}, attachments=[None], due=[], pos="top", badges=1, closed="yes"),
        actions={}, checklists=None, labels=[1], members="?", customFields=3,
    )  # fmt: skip
    assert only(parsed).title == "a"


@pytest.mark.parametrize(
    "data", ["", "{}", "[]", '{"cards": {}}', "{", "NaN", "[" * 100_000, '{"tasks": [{"title": "a"}]}']
)
def test_what_is_no_board_is_refused(data: str) -> None:
    with pytest.raises(WrongFileFormat):
        read(data, "trello-json")
