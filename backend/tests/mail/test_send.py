from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from uuid import UUID

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from sqlalchemy import select, text
from structlog.testing import capture_logs

import app.mail.jobs  # noqa: F401  registers its handler
from app.infra.database import Database
from app.infra.settings import Settings
from app.kit.clock import utc_now
from app.mail.job_args import EmailArgs
from app.models import Job, JobEffect, MailSuppression
from app.worker import enqueue
from app.worker.testing import run_jobs_until_idle
from tests.servers import SmtpServer, certificate, smtp_server

Send = Callable[..., Awaitable[Job]]


def a_message(to: str = "Grace@Example.com") -> EmailArgs:
    return EmailArgs(to=to, template="message", values={"subject": "Hello", "text": "How do you do?\n.\nBye"})


@pytest.fixture
def send(settings: Settings, database: Database) -> Send:
    """Runs one attempt against a server, and returns the job's row; with `again`, the next attempt at that job."""

    async def send(
        server: SmtpServer, *, args: EmailArgs | None = None, again: UUID | None = None, **changes: object
    ) -> Job:
        mailing = settings.model_copy(
            update={"smtp_host": "localhost", "smtp_port": server.port, "smtp_starttls": False, **changes}
        )
        async with database.transaction() as session:
            if again is None:
                job_id = (await enqueue(session, args or a_message())).id
            else:
                job_id, job = again, await session.get_one(Job, again)
                job.state, job.run_at, job.finished_at = "available", utc_now() - timedelta(seconds=1), None
        await run_jobs_until_idle(mailing)
        async with database.session() as session:
            return await session.get_one(Job, job_id)

    return send


async def test_a_message_reaches_the_server(send: Send) -> None:
    async with smtp_server() as server:
        job = await send(server)
    assert job.state == "completed"
    [(sender, recipient, data)] = server.messages
    assert (sender, recipient) == ("no-reply@localhost.localdomain", "Grace@example.com")
    message = message_from_bytes(data, policy=default)
    assert message["Message-ID"] == f"<{job.id}@localhost.localdomain>"
    assert message["Subject"] == "Hello"
    assert message.get_body(("plain",)).get_content().splitlines() == ["How do you do?", ".", "Bye"]
    assert "How do you do?" in message.get_body(("html",)).get_content()
    assert job.result == {"outcome": "sent", "message_id": f"<{job.id}@localhost.localdomain>"}


async def test_it_goes_encrypted_and_signed_in(send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, trusted = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with smtp_server(tls) as server:
        job = await send(server, smtp_starttls=True, smtp_username="ada", smtp_password=secret("opensesame"))
        assert server.encrypted
    assert job.state == "completed"
    assert server.signed_in == "\x00ada\x00opensesame"
    assert server.commands.index("STARTTLS") < next(n for n, c in enumerate(server.commands) if c.startswith("AUTH"))
    assert len(server.messages) == 1


class Inbox:
    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_DATA(self, _: object, __: object, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        self.envelopes.append(envelope)
        return "250 taken"


async def test_a_server_of_others_making_takes_it_too(
    send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, trusted = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    inbox, loop = Inbox(), asyncio.get_running_loop()

    def serve() -> SMTP:
        return SMTP(
            inbox, loop=loop, tls_context=tls, require_starttls=True, auth_required=True, hostname="localhost",
            authenticator=lambda *rest: AuthResult(
                success=rest[-1] == LoginPassword(b"ada", b"opensesame"), handled=False
            ),
        )  # fmt: skip

    listener = await loop.create_server(serve, "127.0.0.1", 0)
    async with listener:
        server = SmtpServer(port=listener.sockets[0].getsockname()[1])
        job = await send(server, smtp_starttls=True, smtp_username="ada", smtp_password=secret("opensesame"))
        other = await send(server, smtp_starttls=True, smtp_username="ada", smtp_password=secret("wrong"))
    assert job.state == "completed", job.errors
    [envelope] = inbox.envelopes
    assert envelope.rcpt_tos == ["Grace@example.com"]
    assert f"Message-ID: <{job.id}@localhost.localdomain>".encode() in envelope.content
    assert (other.state, other.errors[0]["message"]) == ("discarded", "The mail server answered 535 5.7.8 to AUTH")


def secret(value: str) -> object:
    from pydantic import SecretStr

    return SecretStr(value)


@pytest.mark.parametrize("name", [None, "other.example"])
async def test_nothing_is_sent_in_clear_or_to_somebody_else(
    name: str | None, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = None
    if name is not None:
        tls, trusted = certificate(tmp_path, name)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with smtp_server(tls) as server:
        job = await send(server, smtp_starttls=True, smtp_username="ada", smtp_password=secret("opensesame"))
    assert (job.state, job.errors[0]["code"]) == (
        "scheduled",
        "smtp_tls_failed" if name else "smtp_not_offered",
    )
    assert server.messages == []
    assert server.signed_in == ""


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        *[("CONNECT", "421 4.3.2 busy"), ("CONNECT", "CUT"), ("EHLO", "CUT"), ("MAIL", "451 4.7.1 later")],
        *[("RCPT", "450 4.2.0 greylisted"), ("RCPT", "CUT"), ("DATA", "451 full"), ("END", "452 4.3.1 full")],
        *[("END", "CUT"), ("CONNECT", "SSH-2.0-x")],
    ],
)
async def test_what_may_pass_is_tried_again_as_the_same_message(step: str, reply: str, send: Send) -> None:
    async with smtp_server(**{step: reply}) as server:
        job = await send(server)
        assert job.state == "scheduled", job.errors
        server.replies = {}
        job = await send(server, again=job.id)
    assert job.state == "completed"
    assert len({data for _, _, data in server.messages}) == 1


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        *[("CONNECT", "554 go away"), ("MAIL", "553 not you"), ("RCPT", "554 5.7.1 policy"), ("DATA", "554 no")],
        *[("END", "554 5.6.0 spam"), ("AUTH", "535 5.7.8 who are you?")],
    ],
)
async def test_what_will_not_pass_is_discarded_and_the_address_stays(
    step: str, reply: str, send: Send, database: Database
) -> None:
    async with smtp_server(**{step: reply}) as server:
        job = await send(server, smtp_username="ada", smtp_password=secret("opensesame"))
    assert (job.state, job.errors[0]["code"]) == ("discarded", "mail_refused")
    assert await suppressed(database) == []


async def suppressed(database: Database) -> list[tuple[str, str, UUID | None]]:
    async with database.session() as session:
        rows = await session.scalars(select(MailSuppression))
        return [(row.address, row.reason, row.job_id) for row in rows]


@pytest.mark.parametrize("reply", ["550 5.1.1 nobody", "550 nobody", "553 5.1.3 what", "550 5.2.1 disabled"])
async def test_an_address_that_is_refused_gets_no_more_mail(reply: str, send: Send, database: Database) -> None:
    async with smtp_server(RCPT=reply) as server:
        job = await send(server)
        assert job.state == "discarded"
        assert await suppressed(database) == [("grace@example.com", "refused", job.id)]
        server.replies = {}
        job = await send(server, args=a_message("GRACE@example.com"))
    assert (job.state, job.result) == ("completed", {"outcome": "suppressed"})
    assert server.messages == []


async def test_the_reason_that_is_shown_holds_no_words_of_the_server(send: Send) -> None:
    async with smtp_server(RCPT="550 5.1.1 <grace@example.com> unknown to db.internal") as server:
        job = await send(server)
    assert job.errors[0]["message"] == "The mail server answered 550 5.1.1 to RCPT"


async def test_a_message_that_the_server_took_is_not_sent_again(send: Send, database: Database) -> None:
    async with smtp_server() as server:
        job = await send(server)
        # As if the worker had died between the answer and the end of the job.
        job = await send(server, again=job.id)
    assert job.state == "completed"
    assert job.attempt == 2
    assert len(server.messages) == 1


async def test_an_attempt_that_nobody_saw_the_end_of_is_repeated_with_the_same_id(
    send: Send, database: Database
) -> None:
    async with smtp_server() as server:
        job = await send(server)
        async with database.transaction() as session:
            await session.execute(text("DELETE FROM job_effects WHERE effect_key = 'sent'"))
            assert list(await session.scalars(select(JobEffect.effect_key))) == ["begun"]
        await send(server, again=job.id)
    assert len(server.messages) == 2
    assert server.messages[0] == server.messages[1]


async def test_a_goodbye_that_goes_wrong_changes_nothing(send: Send) -> None:
    for reply in ("CUT", "500 what?"):
        async with smtp_server(QUIT=reply) as server:
            assert (await send(server)).state == "completed"


async def test_a_name_outside_of_ascii_needs_a_server_that_takes_it(send: Send) -> None:
    async with smtp_server() as server:
        job = await send(server, args=a_message("jörg@example.com"))
        assert (job.state, job.errors[0]["code"]) == ("discarded", "smtputf8_not_offered")
        server.extensions = ("SMTPUTF8",)
        job = await send(server, args=a_message("jörg@example.com"))
    assert job.state == "completed"
    assert server.messages[0][1] == "jörg@example.com"


async def test_a_cancel_that_comes_while_the_message_leaves_is_too_late(settings: Settings, database: Database) -> None:
    async with smtp_server() as server:
        server.may_answer.clear()
        changes = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_starttls": False}
        mailing = settings.model_copy(update={**changes, "job_heartbeat_seconds": 0.05})
        async with database.transaction() as session:
            job_id = (await enqueue(session, a_message())).id
        running = asyncio.create_task(run_jobs_until_idle(mailing))
        await server.taken.wait()
        with capture_logs() as events:
            async with database.transaction() as session:
                (await session.get_one(Job, job_id)).cancel_requested_at = utc_now()
            while not any(event["event"] == "mail_is_leaving" for event in events):
                await asyncio.sleep(0.01)
        server.may_answer.set()
        await running
    async with database.session() as session:
        job = await session.get_one(Job, job_id)
    assert (job.state, job.result) == (
        "completed",
        {"outcome": "sent", "message_id": f"<{job_id}@localhost.localdomain>"},
    )
    assert len(server.messages) == 1


async def test_without_a_server_the_message_is_a_file(settings: Settings, database: Database) -> None:
    async with database.transaction() as session:
        job = await enqueue(session, a_message())
    await run_jobs_until_idle(settings)
    folder = Path(settings.storage_dir) / "mail"
    assert [path.name for path in folder.iterdir()] == [f"{job.id}.eml"]
    message = message_from_bytes((folder / f"{job.id}.eml").read_bytes(), policy=default)
    assert message["To"] == "Grace@example.com"
