"""All volumes but that of the backups are destroyed, and the newest backup is put back."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable

from tests.deploy.installation import Installation
from tests.deploy.ledger import settle

FILES, FILE_BYTES = 20, 1_000_000
LOST = ("postgres_data", "redis_data", "files")
# What nobody but a client of this test changes. A restore marks changes as read by nobody, on purpose.
TABLES = ("users", "workspaces", "workspace_members", "projects", "tasks", "attachments", "stored_files", "changes")
JOBS = "SELECT id, state FROM jobs WHERE kind LIKE 'email.%' ORDER BY id"
STORED = "cd /var/lib/taskapi/files && find . -type f ! -path './mail/*' -exec sha256sum {} + | sort"


async def lose_and_restore(installation: Installation, say: Callable[[str], None]) -> list[str]:
    """What is not as it was, or does not work afterwards."""
    async with installation.client() as client:
        for number in range(FILES):
            task = (await client.post("/tasks", json={"title": f"with file {number}"})).raise_for_status().json()["id"]
            file = {"file": (f"{number}.bin", secrets.token_bytes(FILE_BYTES))}
            (await client.post(f"/tasks/{task}/attachments", files=file)).raise_for_status()
    found = await settle(installation)
    before = await asyncio.to_thread(_contents, installation)
    found += await _timed(installation, say, "backup")
    found += await _timed(installation, say, "stop_production")
    installation.destroy(*LOST)
    found += await _timed(installation, say, "restore")
    found += await _timed(installation, say, "backup", "verify")
    after = await asyncio.to_thread(_contents, installation)
    for what, was in before.items():
        gone, new = sorted(was - after[what]), sorted(after[what] - was)
        if gone or new:
            found.append(f"{what}: {len(gone)} are not as before, {len(new)} were not there: {gone[:2]} {new[:2]}")
    rows = sum(len(before[table]) for table in TABLES)
    say(f"{rows} rows in {len(TABLES)} tables and {FILES} files of {FILE_BYTES} bytes compared")
    async with installation.client() as client:
        message = {"to": ["after@example.com"], "subject": "After", "text": "It works again."}
        (await client.post("/emails", json=message)).raise_for_status()
    return found + await settle(installation)


def _contents(installation: Installation) -> dict[str, set[str]]:
    """By table each row, and each file and job."""
    found = {table: {json.dumps(row, sort_keys=True) for row in _rows(installation, table)} for table in TABLES}
    found["jobs"] = {json.dumps(row) for row in installation.rows(JOBS)}
    found["files"] = set(installation.compose("exec", "-T", "web", "sh", "-c", STORED).splitlines())
    return found


def _rows(installation: Installation, table: str) -> list[dict[str, object]]:
    rows = installation.rows(f"SELECT * FROM {table}")
    return [{name: value for name, value in row.items() if name != "xact"} for row in rows]


async def _timed(installation: Installation, say: Callable[[str], None], script: str, *arguments: str) -> list[str]:
    began = time.monotonic()
    code, output = await installation.run(script, *arguments)
    name = " ".join([script, *arguments])
    told = re.findall(r"^.* (?:is whole|is back|rows, ).*$", output, re.MULTILINE)
    say("; ".join([f"{name}: {time.monotonic() - began:.0f} s", *told]))
    return [f"{name}: exit code {code}: {output[-3000:]}"] if code else []
