"""`taskapi migrate`: the schema to the version that this release needs, and back."""

from __future__ import annotations

import asyncio
import sys

import typer
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from app.cli.configuration import read_settings
from app.infra import migrations

CODES = {"head": 0, "behind": 4, "served": 5, "ahead": 6, "restoring": 7}
"""What `--check` exits with; 1 where the database could not be asked."""


def migrate(*, check: bool, sql: bool, since: str, back_to: str | None) -> None:
    """Exits 1 with one line when it cannot be done."""
    settings = read_settings()
    url = settings.direct_url
    try:
        if sql:
            sys.stdout.write(migrations.sql(since))
        elif check:
            standing = asyncio.run(migrations.standing(url))
            sys.stdout.write(f"{standing.line}\n")
            raise typer.Exit(CODES[standing.state])
        elif back_to is not None:
            asyncio.run(migrations.downgrade(url, back_to, lock_timeout=settings.startup_timeout, say=_say))
        else:
            asyncio.run(migrations.upgrade(url, lock_timeout=settings.startup_timeout, say=_say))
    except (migrations.MigrationError, CommandError, OSError, DBAPIError) as error:
        sys.stderr.write(f"migrate: {str(error).splitlines()[0]} (the database of {settings.direct_setting})\n")
        raise typer.Exit(1) from error


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # whoever watches a long one sees each revision when it is done
