"""Refuses migrations that would stop a running service, or the release before: `python -m tools.migration_lint`.

Reads the SQL of each revision, as `taskapi migrate --sql` prints it. Tables that a revision makes itself are nobody's
yet: nothing in it about them is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alembic.script import Script

from app.infra import migrations

WHY = {
    "serves": "every revision but the first says which release still runs on it: serves = '<its head>', or its own",
    "contract": "older processes still use it while a deploy rolls: remove it one release after the last use, and say "
    "so: contract = '<since when nothing uses it>'",
    "index": "it locks out every write while it is built: CONCURRENTLY, in an autocommit_block",
    "drop-index": "it waits for, and then holds up, everyone on the table: CONCURRENTLY, in an autocommit_block",
    "add-not-null": "it fails where there are rows, and for older processes that do not know the column: give a default",
    "type": "it writes the whole table anew under a lock that stops reads: add a column, copy, and contract later",
    "set-not-null": "it reads the whole table under a lock that stops reads: first a CHECK (... IS NOT NULL) NOT VALID, "
    "then VALIDATE CONSTRAINT in a later revision",
    "add-constraint": "it reads the whole table under a lock that stops writes: NOT VALID, then VALIDATE CONSTRAINT in a "
    "later revision",
    "add-unique": "it builds its index under a lock that stops reads: CREATE UNIQUE INDEX CONCURRENTLY, then USING INDEX",
    "validate": "the lock of adding it is still held while it reads the table: validate it in a later revision",
}
"""What is refused, by the reason."""

_ACTIONS = (
    ("add-constraint", r"ADD (?:CONSTRAINT \w+ )?(?:FOREIGN KEY|CHECK)\b", r"\bNOT VALID$"),
    ("add-unique", r"ADD (?:CONSTRAINT \w+ )?(?:UNIQUE|PRIMARY KEY|EXCLUDE)\b", r"\bUSING INDEX\b"),
    ("add-not-null", r"ADD\b.*\b(?:NOT NULL|PRIMARY KEY)\b", r"\bDEFAULT\b"),
    ("type", r"ALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE\b", None),
    ("contract", r"DROP (?!CONSTRAINT\b)|RENAME\b", None),
)
"""Of what ALTER TABLE does: the reason, what it looks like, what makes it fine. The first that looks like it counts."""
_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|[^'\"$;(),-]+|.", re.DOTALL)
_NAME = r"(?:IF (?:NOT )?EXISTS )?(?:ONLY )?(?:public\.)?(?P<name>\w+)"


@dataclass
class Linter:
    """Walks the revisions in order: what one of them proves, a later one may use."""

    unproven: dict[tuple[str, str], str] = field(default_factory=dict)
    """Constraints that were added NOT VALID, with their text."""
    never_null: set[tuple[str, str]] = field(default_factory=set)
    """Columns of which a validated constraint says so."""

    def revision(self, script: Script, earlier: set[str]) -> Iterator[str]:
        """The keys of WHY that it breaks, each with the statement."""
        if script.down_revision and getattr(script.module, "serves", None) not in {*earlier, script.revision}:
            yield "serves"
        contract = bool(getattr(script.module, "contract", ""))
        made: set[str] = set()
        added: set[tuple[str, str]] = set()
        for statement in statements(migrations.sql(str(script.down_revision or "base"), script.revision)):
            if found := re.match(rf"CREATE TABLE {_NAME}", statement, re.IGNORECASE):
                made.add(found["name"])
            elif broken := self._statement(statement, made, added, contract=contract):
                yield f"{broken}: {statement[:120]}"

    def _statement(self, statement: str, made: set[str], added: set[tuple[str, str]], *, contract: bool) -> str | None:
        def starts(pattern: str) -> re.Match[str] | None:
            return re.match(pattern, statement, re.IGNORECASE)

        if found := starts(rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY\b).*?\bON {_NAME}"):
            return "index" if found["name"] not in made else None
        if starts(r"DROP INDEX (?!CONCURRENTLY\b)"):
            return "drop-index"
        if starts(r"DROP TABLE"):
            return None if contract else "contract"
        if (found := starts(rf"ALTER TABLE {_NAME} (?P<actions>.*)")) and found["name"] not in made:
            broken = (
                self._action(found["name"], one, added, contract=contract) for one in parts(found["actions"], ",")
            )
            return next((one for one in broken if one), None)
        return None

    def _action(self, table: str, action: str, added: set[tuple[str, str]], *, contract: bool) -> str | None:
        self._learn(table, action, added)
        if found := re.match(r"VALIDATE CONSTRAINT (\w+)", action, re.IGNORECASE):
            return "validate" if (table, found[1]) in added else None
        if found := re.match(r"ALTER (?:COLUMN )?(\w+) SET NOT NULL", action, re.IGNORECASE):
            return None if (table, found[1]) in self.never_null else "set-not-null"
        for reason, pattern, unless in _ACTIONS:
            if re.match(pattern, action, re.IGNORECASE):
                fine = contract if reason == "contract" else bool(unless and re.search(unless, action, re.IGNORECASE))
                return None if fine else reason
        return None

    def _learn(self, table: str, action: str, added: set[tuple[str, str]]) -> None:
        if found := re.match(r"ADD CONSTRAINT (\w+) .*\bNOT VALID$", action, re.IGNORECASE):
            self.unproven[table, found[1]] = action
            added.add((table, found[1]))
        elif found := re.match(r"VALIDATE CONSTRAINT (\w+)", action, re.IGNORECASE):
            text = self.unproven.pop((table, found[1]), "")
            self.never_null |= {(table, column) for column in re.findall(r"(\w+) IS NOT NULL", text, re.IGNORECASE)}


def statements(sql: str) -> list[str]:
    """The statements of a script, each on one line, without comments and without quotes around names."""
    return parts("".join(_plain(token) for token in _TOKEN.finditer(sql)), ";")


def parts(text: str, separator: str) -> list[str]:
    """`text` cut at each `separator` that stands in no string and no parentheses."""
    found, depth = [""], 0
    for token in (match[0] for match in _TOKEN.finditer(text)):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == separator and depth == 0:
            found.append("")
        else:
            found[-1] += token
    return [flat for part in found if (flat := " ".join(part.split()))]


def _plain(token: re.Match[str]) -> str:
    return "" if token[0].startswith("--") else token[0].strip('"') if token[0][0] == '"' else token[0]


def lint() -> list[str]:
    """A line for each thing that is refused."""
    linter, earlier, found = Linter(), set[str](), []
    for script in migrations.revisions():
        name = Path(script.path).name
        found += [f"{name}: {one}\n    {WHY[one.split(':')[0]]}" for one in linter.revision(script, earlier)]
        earlier.add(script.revision)
    return found


if __name__ == "__main__":
    problems = lint()
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.exit(1 if problems else 0)
