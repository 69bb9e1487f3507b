"""What the linter of migrations refuses, and what it lets through."""

from __future__ import annotations

import pytest

from tests.migrations.releases import BACK, EXPAND, Release
from tools.migration_lint import WHY, lint


def refused(newer: Release) -> list[str]:
    with newer.installed():
        return [problem.split(": ")[1].split("\n")[0] for problem in lint()]


def sql(*statements: str) -> str:
    return "\n    ".join(f"op.execute({statement!r})" for statement in statements)


def test_the_revisions_of_this_release_are_fine() -> None:
    assert lint() == []


def test_what_a_release_adds_in_the_right_way_is_fine(newer: Release) -> None:
    newer.add(EXPAND, downgrade=BACK, serves=newer.base)
    assert refused(newer) == []


@pytest.mark.parametrize(
    ("reason", "statement"),
    [
        ("index", "CREATE UNIQUE INDEX a ON tasks (title)"),
        ("index", 'create index "a" on public."tasks" using gin (title)'),
        ("drop-index", "DROP INDEX ix_tasks_due"),
        ("add-not-null", "ALTER TABLE tasks ADD COLUMN a integer NOT NULL"),
        ("add-not-null", "ALTER TABLE tasks ADD a integer, ADD b integer NOT NULL"),
        ("type", "ALTER TABLE tasks ALTER COLUMN title TYPE varchar(10)"),
        ("type", "ALTER TABLE ONLY tasks ALTER title SET DATA TYPE numeric(10, 2)"),
        ("set-not-null", "ALTER TABLE tasks ALTER COLUMN due_at SET NOT NULL"),
        ("add-constraint", "ALTER TABLE tasks ADD CONSTRAINT a CHECK (title <> 'NOT VALID')"),
        ("add-constraint", "ALTER TABLE tasks ADD FOREIGN KEY (project_id) REFERENCES projects (id)"),
        ("add-unique", "ALTER TABLE tasks ADD CONSTRAINT a UNIQUE (title)"),
        ("contract", "ALTER TABLE tasks DROP COLUMN title"),
        ("contract", "ALTER TABLE IF EXISTS tasks RENAME title TO name"),
        ("contract", "ALTER TABLE tasks RENAME TO todos"),
        ("contract", "DROP TABLE tasks"),
    ],
)
def test_a_statement_that_stops_the_service_is_refused(newer: Release, reason: str, statement: str) -> None:
    newer.add(sql("SELECT 'a; -- string'", statement), serves=newer.base)
    assert refused(newer) == [reason]
    assert WHY[reason]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY a ON tasks (title)",
        "ALTER TABLE tasks ADD COLUMN a text",
        "ALTER TABLE tasks ADD COLUMN a text DEFAULT 'x, y' NOT NULL",
        "ALTER TABLE tasks ADD CONSTRAINT a FOREIGN KEY (project_id) REFERENCES projects (id) NOT VALID",
        "ALTER TABLE tasks ADD CONSTRAINT a UNIQUE USING INDEX b",
        "ALTER TABLE tasks DROP CONSTRAINT a",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $x$ DROP TABLE tasks; $x$",
    ],
)
def test_a_statement_that_holds_nobody_up_is_fine(newer: Release, statement: str) -> None:
    newer.add(sql(statement), serves=newer.base)
    assert refused(newer) == []


def test_a_table_of_the_same_revision_is_nobodys_yet(newer: Release) -> None:
    newer.add(
        sql("CREATE TABLE a (b text)", "CREATE INDEX c ON a (b)", "ALTER TABLE a ALTER b SET NOT NULL"),
        serves=newer.base,
    )
    assert refused(newer) == []
    newer.add(sql("CREATE INDEX d ON a (b)"), serves=newer.base)
    assert refused(newer) == ["index"]


def test_a_column_that_a_validated_check_covers_may_become_not_null(newer: Release) -> None:
    newer.add(sql("ALTER TABLE tasks ADD CONSTRAINT a CHECK (due_at IS NOT NULL) NOT VALID"), serves=newer.base)
    newer.add(sql("ALTER TABLE tasks VALIDATE CONSTRAINT a"), serves=newer.base)
    newer.add(sql("ALTER TABLE tasks ALTER due_at SET NOT NULL"), serves=newer.base)
    assert refused(newer) == []


def test_validating_where_it_was_added_is_refused(newer: Release) -> None:
    check = "ALTER TABLE tasks ADD CONSTRAINT a CHECK (due_at IS NOT NULL) NOT VALID"
    newer.add(sql(check, "ALTER TABLE tasks VALIDATE CONSTRAINT a"), serves=newer.base)
    assert refused(newer) == ["validate"]


def test_what_is_removed_on_purpose_is_fine(newer: Release) -> None:
    newer.add(sql("ALTER TABLE tasks DROP COLUMN title"), serves=newer.base, contract="unused since 0.2")
    assert refused(newer) == []


@pytest.mark.parametrize("says", [{}, {"serves": "ffff"}])
def test_a_revision_says_which_release_it_serves(newer: Release, says: dict[str, str]) -> None:
    newer.add("pass", **says)
    assert refused(newer) == ["serves"]
