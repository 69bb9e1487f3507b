"""`taskapi serve`: the api process."""

from __future__ import annotations

import typer

from app.cli.configuration import read_settings
from app.core.app_factory import create_app
from app.core.server import serve


def run_serve() -> None:
    """Exits 0 after SIGTERM, 3 when the settings are refused or the database does not come within STARTUP_TIMEOUT."""
    raise typer.Exit(serve(create_app(read_settings())))
