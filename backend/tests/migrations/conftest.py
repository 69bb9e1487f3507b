from __future__ import annotations

from pathlib import Path

import pytest

from tests.migrations.releases import Release


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    folder = tmp_path / "versions"
    folder.mkdir()
    return Release(folder, monkeypatch)
