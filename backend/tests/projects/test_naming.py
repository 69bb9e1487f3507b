"""Keys made of names, and places found or made by name, as imports need them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.changes.recorder import Actor
from app.kit.ids import new_id
from app.models import Workspace
from app.projects import service
from app.projects.service import key_from


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Home", "HOME"),
        ("home", "HOME"),
        ("Groceries and more", "GAM"),
        ("Website relaunch 2027", "WR2"),
        ("2027 plans", "PLANS"),
        ("Haus & Garten", "HG"),
        ("Café", "CAFE"),
        ("Extraordinarily", "EXTRAORDIN"),
        ("X", "PROJECT"),
        ("7", "PROJECT"),
        ("Дом", "PROJECT"),
        ("家事 🏠", "PROJECT"),
        ("A 1", "A1"),
    ],
)
def test_a_key_is_made_of_the_letters_of_a_name(name, key):
    assert key_from(name) == key


@given(st.text(min_size=1, max_size=100))
def test_every_name_gives_a_key(name):
    assert re.fullmatch("[A-Z][A-Z0-9]{1,9}", key_from(name))


async def test_numbered_keys_stay_within_ten_characters(make):
    keys = [(await make("/projects", name="Extraordinarily"))["key"] for _ in range(10)]

    assert keys[:2] == ["EXTRAORDIN", "EXTRAORDI2"]
    assert keys[9] == "EXTRAORD10"


@pytest.fixture
async def workspace_id(session):
    workspace = Workspace(id=new_id(), name="Shared")
    session.add(workspace)
    await session.flush()
    return workspace.id


@pytest.fixture
def actor():
    return Actor(None, new_id())


async def test_a_project_is_found_by_its_name_whatever_the_case_and_made_once(session, workspace_id, actor):
    made = await service.project_named(session, actor, workspace_id, "Änderungen")
    found = await service.project_named(session, actor, workspace_id, "äNDERUNGEN")
    other = await service.project_named(session, actor, workspace_id, "Other")

    assert found is made
    assert other.id != made.id


async def test_an_archived_or_deleted_project_is_not_found_by_its_name(session, workspace_id, actor):
    archived = await service.project_named(session, actor, workspace_id, "Home")
    await service.set_archived(session, actor, archived, archived=True)
    deleted = await service.project_named(session, actor, workspace_id, "Home")
    await service.delete_project(session, actor, deleted)
    third = await service.project_named(session, actor, workspace_id, "Home")

    assert len({archived.id, deleted.id, third.id}) == 3
    assert third.key == "HOME3"


async def test_a_section_is_found_by_its_name_in_its_project_and_made_once(session, workspace_id, actor):
    home = await service.project_named(session, actor, workspace_id, "Home")
    work = await service.project_named(session, actor, workspace_id, "Work")

    made = await service.section_named(session, actor, home, "Kitchen")
    found = await service.section_named(session, actor, home, "KITCHEN")
    elsewhere = await service.section_named(session, actor, work, "Kitchen")
    archived = await service.section_named(session, actor, home, "Kitchen", archived=True)

    assert found is made
    assert len({made.id, elsewhere.id, archived.id}) == 3
    assert archived.archived_at is not None
