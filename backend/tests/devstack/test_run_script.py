"""The script `run` in a tree of its own, whose lock asks for nothing: installing takes a moment and no network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UV = shutil.which("uv", path=f"{ROOT / '.tools/bin'}:{os.environ['PATH']}")
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not on the PATH, and ./run has not brought it")


@pytest.fixture
def tree(tmp_path):
    shutil.copy(ROOT / "run", tmp_path)
    (tmp_path / "backend/requirements").mkdir(parents=True)
    (tmp_path / "backend/requirements/dev.lock").write_text("# nothing\n")
    (tmp_path / "backend/devstack").mkdir()
    (tmp_path / "backend/devstack/__main__.py").write_text("import sys; print('devstack', sys.argv[1:])\n")
    return tmp_path


def run(tree, *arguments, path="", **variables):
    """`run` in another folder and with next to nothing in its environment, as a bare machine has it."""
    tools = f"{Path(UV).parent}:" if UV else ""
    environment = {"PATH": f"{path}{tools}{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHON": sys.executable}
    environment |= variables
    return subprocess.run(
        [tree / "run", *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False
    )


def test_help_lists_the_commands_without_installing_anything(tree):
    done = run(tree, "help")
    assert done.returncode == 0
    assert {"dev", "taskapi", "demo", "migrate", "test", "lint", "fmt", "docs", "bench", "faults"} <= set(
        done.stdout.split()
    )
    assert not (tree / ".venv").exists()


def test_an_unknown_command_is_an_error_that_lists_the_known_ones(tree):
    done = run(tree, "tset")
    assert done.returncode == 2
    assert "there is no command 'tset'" in done.stderr
    assert "usage: ./run" in done.stderr


@needs_uv
def test_it_installs_once_and_hands_over_with_the_arguments(tree):
    first, second = run(tree, "test", "-k", "a b"), run(tree)
    assert first.stdout == "devstack ['test', '-k', 'a b']\n"
    assert "installing" in first.stderr
    assert second.stdout == "devstack ['dev']\n"
    assert second.stderr == ""


@needs_uv
@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: (tree / "backend/requirements/dev.lock").write_text("# still nothing\n"),
        lambda tree: (tree / ".venv/installed.lock").unlink(),  # what an install that was killed lacks
        lambda tree: (tree / ".venv/bin/python").unlink(),
    ],
    ids=["lock changed", "cut off", "interpreter gone"],
)
def test_it_installs_again_when_the_environment_is_not_that_of_the_lock(tree, spoil):
    run(tree)
    spoil(tree)
    again = run(tree)
    assert "installed, with Python" in again.stderr
    assert again.stdout == "devstack ['dev']\n"


@needs_uv
def test_a_python_that_is_there_but_does_not_run_is_passed_over(tree):
    shims = tree / "shims"
    shims.mkdir()
    for version in ("3.13", "3.12"):
        (shims / f"python{version}").write_text("#!/bin/sh\nexit 127\n")
        (shims / f"python{version}").chmod(0o755)
    (shims / "python3.11").symlink_to(sys.executable)
    done = run(tree, path=f"{shims}:", PYTHON="")
    assert done.stdout == "devstack ['dev']\n"


def test_a_python_of_the_wrong_version_is_refused_when_it_was_asked_for(tree):
    done = run(tree, PYTHON="/bin/false")
    assert done.returncode == 1
    assert "PYTHON=/bin/false" in done.stderr
