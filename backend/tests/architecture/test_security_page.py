"""`SECURITY.md` names tests that are there."""

from __future__ import annotations

import re

from tools.reference import BACKEND, ROOT

NAMED = set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", (ROOT / "SECURITY.md").read_text()))


def test_each_test_that_proves_a_row_exists() -> None:
    assert len(NAMED) > 50
    tests = BACKEND / "tests"
    missing = [
        f"{path}::{name}"
        for path, name in sorted(NAMED)
        if not re.search(rf"^(async )?def {name}\(", (tests / path).read_text(), re.MULTILINE)
    ]
    assert missing == []
