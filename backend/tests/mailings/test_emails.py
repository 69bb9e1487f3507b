from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, text

import app.mail.jobs  # noqa: F401  registers its handler
from app.infra.database import Database
from app.infra.settings import Settings
from app.mail import service
from app.mail.job_args import EmailArgs
from app.models import Job
from app.worker import enqueue, kinds
from app.worker.reconciler import Duty, Reconciler
from app.worker.testing import run_jobs_until_idle
from tests.conftest import Account, SignUp

HELLO: dict[str, Any] = {"to": ["bo@example.com"], "subject": "Hello", "text": "How are you?"}


@pytest.fixture
async def root(sign_up: SignUp, app) -> Account:
    account = await sign_up()
    async with app.state.database.transaction() as session:
        await session.execute(text("UPDATE users SET is_superuser = true WHERE id = :id"), {"id": account.user_id})
    return account


@pytest.fixture
def post(client: httpx2.AsyncClient, root: Account):
    async def post(headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
        return await client.post("/emails", json={**HELLO, **body}, headers={**root.headers, **(headers or {})})

    return post


@pytest.fixture
def database(app) -> Database:
    return app.state.database


async def jobs(database: Database, kind: str) -> int:
    async with database.session() as session:
        return await session.scalar(select(func.count()).where(Job.kind == kind)) or 0


def delivered(settings: Settings) -> list[EmailMessage]:
    files = (Path(settings.storage_dir) / "mail").glob("*.eml")
    return [message_from_bytes(path.read_bytes(), policy=default) for path in files]


async def test_each_recipient_gets_a_message_of_its_own(post, settings: Settings, database: Database) -> None:
    answer = await post(to=["bo@example.com", "cy@example.com", "Dee@Example.com"])
    assert answer.status_code == 202, answer.text
    parent = answer.json()
    assert (parent["kind"], parent["state"]) == ("email.bulk", "running")
    assert answer.headers["Location"] == f"/jobs/{parent['id']}"
    await run_jobs_until_idle(settings)
    messages = delivered(settings)
    assert sorted(message["To"] for message in messages) == ["Dee@example.com", "bo@example.com", "cy@example.com"]
    assert len({message["Message-ID"] for message in messages}) == 3
    for message in messages:
        assert message["Subject"] == "Hello"
        assert message.get_body(("plain",)).get_content().strip() == "How are you?"
        assert not {"Cc", "Bcc"} & set(message.keys())
    reconciler = Reconciler(settings, Duty("test", 1, settings.worker_queues, kinds.known()))
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE jobs SET lease_until = now() - interval '1 minute' WHERE kind = 'email.bulk'")
        )
    await reconciler.round()
    reconciler.close()
    async with database.session() as session:
        ended = await session.scalar(select(Job).where(Job.kind == "email.bulk"))
    assert ended is not None
    assert (ended.state, ended.result["total"]) == ("completed", 3)


async def test_html_is_sent_as_it_is_and_else_made_of_the_text(post, settings: Settings) -> None:
    await post(html="<p><b>Hello</b></p>")
    await post(text="1 < 2")
    await run_jobs_until_idle(settings)
    parts = [message.get_body(("html",)).get_content() for message in delivered(settings)]
    assert sum("<b>Hello</b>" in part for part in parts) == 1
    assert sum("1 &lt; 2" in part for part in parts) == 1


async def test_only_superusers_send_mail(client: httpx2.AsyncClient, ada: Account, database: Database) -> None:
    assert (await client.post("/emails", json=HELLO)).status_code == 401
    answer = await client.post("/emails", json=HELLO, headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "superuser_required")
    assert await jobs(database, "email.bulk") == 0


async def test_nobody_gets_a_message_twice(post, database: Database) -> None:
    await post(to=["bo@example.com", "Bo@Example.com", "BO@example.com", "cy@example.com"])
    assert await jobs(database, "email.send") == 2


async def test_a_repeated_request_sends_once(post, database: Database) -> None:
    first = await post({"Idempotency-Key": "0123456789abcdef"})
    again = await post({"Idempotency-Key": "0123456789abcdef"})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert (await jobs(database, "email.bulk"), await jobs(database, "email.send")) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"to": []}, "/to", "too_short"),
        ({"to": ["bo@example.com"] * 10_001}, "/to", "too_long"),
        ({"to": "bo@example.com"}, "/to", "list_type"),
        ({"to": ["bo@example.com", "bo"]}, "/to/1", "invalid_address"),
        ({"to": ["bo@example.com\r\nBcc: cy@example.com"]}, "/to/0", "invalid_address"),
        ({"to": ["Bo <bo@example.com>"]}, "/to/0", "invalid_address"),
        ({"to": ["bo@example.com, cy@example.com"]}, "/to/0", "invalid_address"),
        ({"subject": "Hello\r\nBcc: cy@example.com"}, "/subject", "not_one_line"),
        ({"subject": " "}, "/subject", "blank"),
        ({"text": ""}, "/text", "string_too_short"),
        ({"text": "x" * 32_000, "html": "y" * 32_000}, "", "content_too_large"),
        ({"from": "ceo@example.com"}, "/from", "extra_forbidden"),
    ],
)
async def test_what_cannot_be_sent_says_where(changes, pointer: str, code: str, post, database: Database) -> None:
    answer = await post(**changes)
    assert answer.status_code == 422
    assert [(problem["pointer"], problem["code"]) for problem in answer.json()["errors"]] == [(pointer, code)]
    assert await jobs(database, "email.bulk") == 0


async def test_many_bad_addresses_make_a_short_answer(post) -> None:
    answer = await post(to=[f"bad{number}" for number in range(5000)])
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 20
    assert answer.json()["detail"] == "5000 of the addresses are not valid"


async def test_ten_thousand_are_one_transaction(post, database: Database) -> None:
    answer = await post(to=[f"user{number}@example.com" for number in range(10_000)])
    assert answer.status_code == 202
    async with database.session() as session:
        found = await session.execute(
            text("SELECT kind, count(*), count(DISTINCT xmin::text), min(xmin::text) FROM jobs GROUP BY kind")
        )
        rows = {kind: (count, transactions, which) for kind, count, transactions, which in found}
    assert rows["email.send"][:2] == (10_000, 1)
    assert rows["email.send"][2] == rows["email.bulk"][2]


async def test_a_single_message_does_not_wait_for_a_bulk_of_them(post, settings: Settings, database: Database) -> None:
    await post(to=[f"user{number}@example.com" for number in range(30)])
    async with database.transaction() as session:
        single = await enqueue(
            session, EmailArgs(to="vip@example.com", template="message", values={"subject": "a", "text": "b"})
        )
    await run_jobs_until_idle(settings)
    async with database.session() as session:
        first = await session.scalar(select(Job.id).where(Job.kind == "email.send").order_by(Job.started_at).limit(1))
    assert first == single.id


async def test_who_wants_no_mail_gets_none(post, settings: Settings, database: Database) -> None:
    async with database.transaction() as session:
        await service.suppress(session, "BO@example.com", "asked")
    await post(to=["bo@example.com", "cy@example.com"])
    await run_jobs_until_idle(settings)
    assert [message["To"] for message in delivered(settings)] == ["cy@example.com"]
