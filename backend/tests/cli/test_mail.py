from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from typer.testing import CliRunner

import app.mail.jobs  # noqa: F401  registers its handler
from app.cli import main
from app.infra.settings import Settings
from app.worker.testing import run_jobs_until_idle


@pytest.fixture
def mail(database_url: str):
    async def mail(*arguments: str) -> tuple[int, list[str]]:
        # In a thread: the command has an event loop of its own.
        done = await asyncio.to_thread(
            CliRunner().invoke, main, ["mail", *arguments], env={"DATABASE_URL": database_url}
        )
        return done.exit_code, done.output.splitlines()

    return mail


async def test_a_test_message_is_a_job(mail, settings: Settings) -> None:
    code, [job_id] = await mail("test", "ada@example.com")
    assert code == 0
    await run_jobs_until_idle(settings)
    message = message_from_bytes((Path(settings.storage_dir) / "mail" / f"{job_id}.eml").read_bytes(), policy=default)
    assert message["To"] == "ada@example.com"
    assert "http://127.0.0.1:8000" in message.get_body(("html",)).get_content()


async def test_an_address_is_suppressed_and_allowed_again(mail, settings: Settings) -> None:
    assert await mail("suppress", "Ada@Example.com") == (0, [])
    code, [line] = await mail("suppressed")
    assert code == 0
    assert line.split("\t")[0::2] == ["ada@example.com", "asked"]
    await mail("test", "ADA@example.com")
    await run_jobs_until_idle(settings)
    assert not (Path(settings.storage_dir) / "mail").exists()
    assert await mail("allow", "ada@example.com") == (0, [])
    assert await mail("allow", "ada@example.com") == (1, ["mail: the address is not suppressed"])
    assert await mail("suppressed") == (0, [])


async def test_what_is_no_address_is_said(mail) -> None:
    for command in ("test", "suppress"):
        code, [line] = await mail(command, "ada")
        assert code == 1
        assert line.startswith("mail: value is not a valid email address")
