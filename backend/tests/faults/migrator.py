"""`python -m tests.faults.migrator`: `taskapi migrate` of a release that has the revisions of the rows too."""

from __future__ import annotations

import os
from pathlib import Path

from app.cli import main
from app.infra import migrations

VERSIONS = "FAULTS_VERSIONS"
"""A folder with revisions of the schema that come after the product's."""


def add_revisions() -> None:
    if versions := os.environ.get(VERSIONS):
        migrations.VERSIONS.append(Path(versions))


if __name__ == "__main__":
    add_revisions()
    main(["migrate"])
