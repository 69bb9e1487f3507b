"""What `scripts/start_production.sh` refuses before it needs an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.reference import ROOT

GOOD = "a1b2c3d4" * 8


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The scripts and the example, and a `docker` that does nothing but fail."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / ".env.example", tmp_path)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    return tmp_path


def start(tree: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{tree / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [tree / "scripts" / "start_production.sh", *arguments],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_missing_secret_is_named(tree: Path) -> None:
    done = start(tree, DB_PASSWORD=GOOD)
    assert done.returncode == 1
    assert re.findall(r"(\w+) is not set", done.stderr) == ["REDIS_PASSWORD", "SECRET_KEY"]


@pytest.mark.parametrize(("value", "reason"), [("short", "is too short"), ("with a space " + GOOD, "may hold letters")])
def test_a_secret_that_will_not_do_is_refused_with_its_name(tree: Path, value: str, reason: str) -> None:
    done = start(tree, DB_PASSWORD=GOOD, REDIS_PASSWORD=GOOD, SECRET_KEY=value)
    assert done.returncode == 1
    assert f"SECRET_KEY {reason}" in done.stderr


def test_init_writes_random_secrets_once_and_closes_them_to_others(tree: Path) -> None:
    done = start(tree, "--init")
    assert done.returncode == 1
    assert "docker has no compose plugin" in done.stderr
    written = (tree / ".env").read_text()
    secrets = re.findall(r"^(?:DB_PASSWORD|REDIS_PASSWORD|SECRET_KEY)=([0-9a-f]{64})$", written, re.MULTILINE)
    assert len(set(secrets)) == 3
    assert (tree / ".env").stat().st_mode & 0o077 == 0
    assert (tree / ".secrets").stat().st_mode & 0o077 == 0
    assert (tree / ".secrets" / "secret_key").read_text() in secrets
    start(tree, "--init")
    assert (tree / ".env").read_text() == written


def test_a_secret_may_stand_in_its_file_alone(tree: Path) -> None:
    (tree / "kept").mkdir()
    for name in ("db_password", "redis_password", "secret_key"):
        (tree / "kept" / name).write_text(GOOD)
    done = start(tree, SECRETS_DIR=str(tree / "kept"))
    assert "docker has no compose plugin" in done.stderr


def test_an_unknown_option_is_refused(tree: Path) -> None:
    assert start(tree, "--force").returncode == 2
