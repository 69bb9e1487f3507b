"""Entity tags: strong for changes, weak for reads (RFC 9110 13)."""

from __future__ import annotations

import pytest

from app.kit.errors import PreconditionFailed, PreconditionRequired
from app.web.preconditions import etag, not_modified, require_match, versions


@pytest.mark.parametrize("header", [None, "*", ' "3" ', '"3"', '"1", "3"', '"3","4"'])
def test_the_current_tag_and_the_star_let_a_change_through(header):
    require_match(header, 3)


@pytest.mark.parametrize("header", ['"2"', '"33"', 'W/"3"', "3", '"3', "", '"", ""', '*, "2"', '"-3"', '"3.0"'])
def test_any_other_tag_stops_a_change_and_names_the_current_one(header):
    with pytest.raises(PreconditionFailed) as stopped:
        require_match(header, 3)

    assert stopped.value.headers["ETag"] == etag(3) == '"3"'


def test_a_change_without_a_tag_is_stopped_where_one_is_compulsory():
    require_match(None, 3)
    require_match("*", 3, required=True)
    with pytest.raises(PreconditionRequired):
        require_match(None, 3, required=True)
    with pytest.raises(PreconditionRequired):
        versions(None, required=True)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("*", None),
        ('"3"', [3]),
        ('"3", "12"', [3, 12]),
        ('W/"3"', [-1]),
        ("3", [-1]),
        ('""', [-1]),
        ('"x", "4"', [4]),
        ('"99999999999999999999"', [-1]),
        ('"²"', [-1]),
        ("", [-1]),
    ],
)
def test_a_statement_checks_the_versions_that_the_tags_stand_for(header, wanted):
    assert versions(header) == wanted


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("*", True),
        ('"3"', True),
        ('W/"3"', True),
        ('"1", W/"3"', True),
        ('"2"', False),
        ("3", False),
        ("", False),
    ],
)
def test_what_the_client_has_is_compared_weakly(header, known):
    assert not_modified(header, 3) is known
