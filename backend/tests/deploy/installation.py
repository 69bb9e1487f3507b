"""A fresh clone of the tree as it is committed, started as an operator would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[3]
EMAIL, PASSWORD = "operator@example.com", "correct-horse-battery-staple-42"
COMPOSE_FILE = "docker-compose.prod.yml"
MAIL = "/var/lib/taskapi/files/mail"


@dataclass(frozen=True)
class Breakage:
    """What makes a release one that does not work: `old` becomes `new` in a file of `backend/`."""

    path: str
    old: str
    new: str


class Installation:
    """Production in a folder of its own, under a project name and ports of its own."""

    def __init__(self, directory: Path, https_port: int) -> None:
        self.tree = directory / "taskapi-deploy-test"
        self.address = f"https://localhost:{https_port}"
        self._environment = os.environ | {
            "HTTP_PORT": str(https_port + 1),
            "HTTPS_PORT": str(https_port),
            "TASKAPI_IMAGE": "taskapi-deploy-test:latest",
            "EDGE_SUBNET": "172.30.78.0/24",
        }

    def clone(self) -> None:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.tree)], check=True)
        self.git("config", "user.name", "deploy test")
        self.git("config", "user.email", "deploy-test@example.com")
        text = (self.tree / ".env.example").read_text()
        # One machine sends everything: the limits for each caller are not what is tried here.
        more = ("RATE_LIMIT_SCALE=100000", "ACCESS_TOKEN_SECONDS=3600", "BACKUP_URL=file:///var/lib/taskapi/backups")
        (self.tree / ".env.example").write_text("\n".join([text, *more, ""]))

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.tree), *arguments], check=True)

    def new_release(self, broken: Breakage | None = None) -> None:
        """A commit, and so another image; what an earlier one broke is mended."""
        self.git("checkout", "--quiet", "--", "backend")
        if broken:
            file = self.tree / "backend" / broken.path
            text = file.read_text()
            assert text.count(broken.old) == 1, broken
            file.write_text(text.replace(broken.old, broken.new))
        self.git("commit", "--quiet", "--allow-empty", "--message", "a release")

    async def run(self, script: str, *arguments: str, **environment: str) -> tuple[int, str]:
        """A script of `scripts/`: its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            str(self.tree / "scripts" / f"{script}.sh"),
            *arguments,
            env=self._environment | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode(errors="replace")

    def compose(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["docker", "compose", "-f", COMPOSE_FILE, *arguments],
            cwd=self.tree,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"docker compose {' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a query finds."""
        command = ["psql", "-U", "taskuser", "-d", "taskdb", "-At", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        said = self.compose("exec", "-T", "db", *command, stdin=f"SELECT row_to_json(found) FROM ({sql}) AS found")
        return [json.loads(line) for line in said.splitlines()]

    def letters(self) -> int:
        """Messages that were sent, as files."""
        return int(self.compose("exec", "-T", "celery_worker_mail", "sh", "-c", f"ls {MAIL} | wc -l"))

    def containers(self) -> dict[str, list[str]]:
        """The containers of each service that runs, and `image health` of each."""
        found: dict[str, list[str]] = {}
        for line in self.compose("ps", "--format", "{{.Service}} {{.ID}} {{.Health}}").splitlines():
            service, container, health = line.split()
            found.setdefault(service, []).append(f"{container} {health}")
        return found

    def make_superuser(self) -> None:
        command = ["taskapi", "users", "create", "--superuser", "--email", EMAIL, "--password-stdin"]
        self.compose("exec", "-T", "web", *command, stdin=PASSWORD + "\n")

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Somebody who has signed in, through nginx."""
        limits = httpx2.Limits(max_connections=90)  # below what nginx takes from one address
        async with httpx2.AsyncClient(
            base_url=self.address, verify=False, timeout=30, trust_env=False, limits=limits
        ) as client:
            answer = await client.post("/auth/login", data={"username": EMAIL, "password": PASSWORD})
            client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
            yield client

    def destroy(self, *volumes: str) -> None:
        """Their data is gone."""
        names = [f"{self.tree.name}_{one}" for one in volumes]
        subprocess.run(["docker", "volume", "rm", *names], check=True, stdout=subprocess.DEVNULL)

    def remove(self) -> None:
        """With its data."""
        with contextlib.suppress(RuntimeError):
            self.compose("down", "--volumes", "--remove-orphans")
