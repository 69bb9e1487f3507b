"""The settings, as commands read them."""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError

from app.infra.settings import REFUSED, Settings


def read_settings() -> Settings:
    """The settings; or a line for each malformed one, never with its value, and exit code 3."""
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(map(str, problem["loc"])).upper()
            sys.stderr.write(
                f"refused to start: {name + ': ' if name else ''}{problem['msg'].removeprefix('Value error, ')}\n"
            )
        raise typer.Exit(REFUSED) from None
