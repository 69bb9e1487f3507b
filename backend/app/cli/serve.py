"""`taskapi serve`: the api process."""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError

from app.core.app_factory import REFUSED, create_app
from app.core.server import serve


def run_serve() -> None:
    """Exits 0 after SIGTERM, 3 when the settings are refused or the database does not come within STARTUP_TIMEOUT."""
    try:
        app = create_app()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            sys.stderr.write(f"refused to start: {'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}\n")
        raise typer.Exit(REFUSED) from None
    raise typer.Exit(serve(app))
