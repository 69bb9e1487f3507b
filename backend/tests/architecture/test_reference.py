"""`docs/reference` is what `./run docs` makes of the code."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tools import reference


@pytest.mark.parametrize("page", ["settings", "errors", "job-kinds", "metrics"])
def test_a_page_is_what_the_code_says(page: str) -> None:
    path = reference.REFERENCE / f"{page}.md"
    assert path.read_text() == reference.pages()[path], "run ./run docs"


def test_an_error_code_means_one_status_and_one_title() -> None:
    meanings = defaultdict(set)
    for error in reference.all_errors():
        meanings[error.code].add((error.status, error.title))
    assert {code: found for code, found in meanings.items() if len(found) > 1} == {}


def test_an_error_code_is_snake_case_and_its_status_an_error() -> None:
    for error in reference.all_errors():
        assert error.code.replace("_", "").isalnum(), error
        assert error.code == error.code.lower(), error
        assert 400 <= error.status <= 599, error


def test_a_kind_says_what_it_does() -> None:
    for kind in reference.all_kinds():
        assert kind.__doc__, kind
        feature, _, verb = kind.kind.partition(".")
        assert feature, kind
        assert verb, kind
