"""The `archive_command` that operators are told to use."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults.recovery_rows import archive_command


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "000000010000000000000007"
    path.write_bytes(b"log" * 1000)
    (tmp_path / "archive").mkdir()
    return path


def archived(segment: Path) -> bool:
    command = archive_command(str(segment.parent / "archive"))
    command = command.replace("%p", str(segment)).replace("%f", segment.name)
    return subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True).returncode == 0


def test_what_a_crash_left_half_copied_is_archived_the_next_time(segment: Path) -> None:
    archive = segment.parent / "archive"
    (archive / f"{segment.name}.new").write_bytes(b"log")
    assert archived(segment)
    assert [path.name for path in archive.iterdir()] == [segment.name]
    assert (archive / segment.name).read_bytes() == segment.read_bytes()


def test_what_is_archived_already_counts_and_is_never_written_over(segment: Path) -> None:
    assert archived(segment)
    assert archived(segment)
    before = segment.read_bytes()
    segment.write_bytes(b"of another server")
    assert not archived(segment)
    assert (segment.parent / "archive" / segment.name).read_bytes() == before
