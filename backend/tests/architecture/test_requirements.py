"""`docs/requirements.md` answers for every number, once, with a mark that it explains."""

from __future__ import annotations

import re
from collections import Counter

from tools.reference import BACKEND, ROOT

NUMBERS = {"S0": 85, "S1": 29, "S2": 17, "S3": 34, "S4": 38}
"""How many each source document has."""
PAGE = (ROOT / "docs" / "requirements.md").read_text()
ROWS = re.findall(r"^\| (S\d-\d+) \| (.+?) \| (\w+) \|(.*)\|$", PAGE, re.MULTILINE)


def test_each_number_is_answered_once() -> None:
    asked = [f"{source}-{number}" for source, last in NUMBERS.items() for number in range(1, last + 1)]
    assert Counter(number for number, *_ in ROWS) == Counter(asked)


def test_each_mark_is_explained() -> None:
    explained = set(re.findall(r"^\| \*\*(\w+)\*\* \|", PAGE, re.MULTILINE))
    assert {mark for _, _, mark, _ in ROWS} <= explained


def test_what_is_not_served_has_a_reason() -> None:
    assert [
        number
        for number, _, mark, reason in ROWS
        if mark in {"no", "otherwise", "partly", "here"} and not reason.strip()
    ] == []


def test_each_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", PAGE))
    assert named
    assert [path for path in sorted(named) if not (BACKEND / "app" / path).exists()] == []


def test_each_setting_that_is_named_exists() -> None:
    from app.infra.settings import Settings

    elsewhere = {"DEBUG", "DB_PASSWORD", "SKIP LOCKED"}
    named = set(re.findall(r"`([A-Z][A-Z_]{5,})`", PAGE)) - elsewhere
    assert {name for name in named if name.lower() not in Settings.model_fields} == set()
