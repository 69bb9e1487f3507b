"""`taskapi profile` of real processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.processes import running


@pytest.mark.parametrize(
    ("role", "begun", "inside"),
    [("serve", "started", "app.core.server.serve;"), ("beat", "schedule_put", "app.core.beat.DatabaseBeat.run;")],
)
async def test_a_running_process_is_listed_and_says_where_it_spends_its_time(
    database_url: str, redis_url: str, tmp_path: Path, role: str, begun: str, inside: str
) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PORT": "0", "TMPDIR": str(tmp_path)}
    async with running(["app.cli", role], environment) as process:
        await process.event(begun)
        async with running(["app.cli", "profile"], environment) as profile:
            assert await profile.exit_code() == 2
        assert any(line.split()[0] == str(process.pid) and line.endswith(f"app.cli {role}") for line in profile.lines)
        output = tmp_path / "stacks"
        arguments = ["app.cli", "profile", str(process.pid), "--seconds", "0.5", "--output", str(output)]
        async with running(arguments, environment) as profile:
            assert await profile.exit_code() == 0
    assert any(line.startswith("MainThread;") and inside in line for line in output.read_text().splitlines())
    assert all(re.fullmatch(r"\S.* \d+", line) for line in output.read_text().splitlines())


async def test_a_process_that_is_not_ours_is_left_alone() -> None:
    async with running(["http.server", "0"], {}) as other:
        async with running(["app.cli", "profile", str(other.pid)], {}) as profile:
            assert await profile.exit_code() == 1
        assert "does not answer" in profile.lines[0]
        assert other.alive
