"""Revisions of a release that does not exist, in a folder of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.infra import migrations

EXPAND = """
    op.add_column("labels", sa.Column("icon", sa.Text(), server_default="none", nullable=False))
    with op.get_context().autocommit_block():
        op.create_index("ix_labels_icon", "labels", ["icon"], postgresql_concurrently=True)
"""
"""What a release adds for its own use, so that older ones go on."""
BACK = """
    op.drop_index("ix_labels_icon", "labels")
    op.drop_column("labels", "icon")
"""


class Release:
    """What comes after the revisions of this one. Inside of `installed`, the code is that of the newer release."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.base = migrations.head()
        self._last = self.base

    def add(self, upgrade: str, *, downgrade: str = "pass", **says: str) -> str:
        """One more revision; `says` are its `serves` and `contract`. Returns its name."""
        name = f"{int(self._last, 16) + 1:04x}"
        said = "\n".join(f"{key} = {value!r}" for key, value in says.items())
        body = {"upgrade": upgrade, "downgrade": downgrade}
        functions = "".join(f"\ndef {key}():\n    {value.strip()}\n" for key, value in body.items())
        (self._folder / f"{name}.py").write_text(
            f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision = {name!r}\ndown_revision = {self._last!r}\n{said}\n{functions}"
        )
        self._last = name
        return name

    @contextmanager
    def installed(self) -> Iterator[None]:
        with self._monkeypatch.context() as patch:
            patch.setattr(migrations, "VERSIONS", [*migrations.VERSIONS, self._folder])
            yield
