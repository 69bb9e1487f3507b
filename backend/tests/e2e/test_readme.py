"""What the README promises a newcomer, done as a newcomer does it: on a stack that `./run` has started."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.state import free_port
from devstack.supervisor import BACKEND

README = (BACKEND.parent / "README.md").read_text()


def block(heading: str) -> str:
    """The first fenced block under the heading."""
    found = re.search(rf"^## {heading}$.*?^```\w*\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def normal(output: str) -> str:
    """The same for every run: random parts of ids and addresses, and sizes, are left out."""
    return re.sub(r"\b[0-9a-f]{8}\b|\d+ bytes", "*", output).strip()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment for commands on a running stack."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    directory = tmp_path_factory.mktemp("stack")
    environment = inherited | {
        "PYTHONPATH": str(BACKEND), "STATE_DIR": str(directory), "PORT": str(free_port()),
    }  # fmt: skip
    log = directory / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "devstack", "dev"], env=environment, stdout=output, stderr=output, cwd=BACKEND
        )
        try:
            while not re.search(r"^ready", log.read_text(), re.MULTILINE):
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.1)  # it must not end
            yield environment
        finally:
            process.terminate()
            assert process.wait(30) == 0, log.read_text()


def test_the_tour_shows_what_the_readme_says(stack: dict[str, str]) -> None:
    command = [sys.executable, "-P", "-m", "devstack", "demo"]
    done = subprocess.run(command, env=stack, cwd=BACKEND, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert normal(done.stdout) == normal(block("The tour"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_the_first_task_is_four_commands_away(stack: dict[str, str], tmp_path: Path) -> None:
    script = block("The first task").replace("127.0.0.1:8000", f"127.0.0.1:{stack['PORT']}")
    done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    _, created, found = (json.loads(one) for one in re.sub(r"\}\s*\{", "}\n{", done.stdout).splitlines())
    assert (created["title"], created["key"]) == ("Buy milk", "INBOX-1")
    assert [task["id"] for task in found["items"]] == [created["id"]]


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 10
    assert [link for link in links if not (BACKEND.parent / link).exists()] == []
