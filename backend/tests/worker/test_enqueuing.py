from __future__ import annotations

from datetime import timedelta

import pytest
from job_kinds import EchoArgs, GateArgs
from sqlalchemy import func, select, text

from app.infra.broker import TOKENS_CAP, Broker
from app.infra.database import Database
from app.infra.work import Work
from app.kit.clock import utc_now
from app.kit.errors import InvalidInput
from app.models import Job
from app.worker import Relay, enqueue


async def test_a_job_is_there_when_the_transaction_commits(database: Database) -> None:
    async with database.transaction() as session:
        job = await enqueue(session, EchoArgs(text="hello"))
    async with database.session() as session:
        found = (await session.scalars(select(Job))).one()
    assert (found.id, found.kind, found.queue, found.state) == (job.id, "test.echo", "default", "available")
    assert (found.args, found.args_version, found.max_attempts) == ({"text": "hello"}, 2, 3)


async def test_a_job_is_gone_when_the_transaction_rolls_back(database: Database) -> None:
    async with database.session() as session:
        await enqueue(session, EchoArgs())
        await session.rollback()
        assert await session.scalar(select(func.count()).select_from(Job)) == 0


async def test_a_job_for_later_waits(database: Database) -> None:
    async with database.transaction() as session:
        later = await enqueue(session, EchoArgs(), run_at=utc_now() + timedelta(hours=1))
        overdue = await enqueue(session, EchoArgs(), run_at=utc_now() - timedelta(hours=1))
    assert (later.state, overdue.state) == ("scheduled", "available")


async def test_a_unique_key_returns_the_live_job_and_makes_room_once_it_has_ended(database: Database) -> None:
    async with database.transaction() as session:
        first = await enqueue(session, EchoArgs(text="1"), unique_key="daily")
        again = await enqueue(session, EchoArgs(text="2"), unique_key="daily")
        other_kind = await enqueue(session, GateArgs(), unique_key="daily")
        await session.execute(text("UPDATE jobs SET state = 'completed' WHERE id = :id"), {"id": first.id})
        next_day = await enqueue(session, EchoArgs(text="3"), unique_key="daily")
    assert again.id == first.id
    assert other_kind.id != first.id
    assert next_day.id != first.id


async def test_args_over_64_kb_are_refused(database: Database) -> None:
    async with database.session() as session:
        with pytest.raises(InvalidInput) as refused:
            await enqueue(session, EchoArgs(text="x" * 65_536))
    assert refused.value.errors[0].code == "args_too_large"


async def test_each_committed_job_sends_one_token(database: Database, broker: Broker, settings) -> None:
    relay = Relay(database, Broker(settings))
    await relay.start()
    async with database.session() as session:
        async with session.begin_nested():
            await enqueue(session, EchoArgs())
        await enqueue(session, EchoArgs())
        await enqueue(session, GateArgs())
        assert broker.depths(["default", "slow"]) == {"default": 0, "slow": 0}
        await session.commit()
    async with database.session() as session:
        await enqueue(session, EchoArgs())
        await session.rollback()
    await relay.stop()
    assert broker.depths(["default", "slow"]) == {"default": 2, "slow": 1}


async def test_a_job_that_is_all_that_is_written_is_one_statement(database: Database, broker: Broker, settings) -> None:
    relay = Relay(database, Broker(settings))
    await relay.start()
    work = Work(database)
    job = await enqueue(work, EchoArgs(text="hello"), unique_key="daily", run_at=utc_now() - timedelta(hours=1))
    again = await enqueue(work, EchoArgs(), unique_key="daily")
    assert not work.open
    async with database.session() as session:
        found = (await session.scalars(select(Job))).one()
    assert again.id == job.id
    columns = Job.__table__.c
    for one in (job, again):
        assert [getattr(one, column.key) for column in columns] == [getattr(found, column.key) for column in columns]
    await work.end(commit=True)
    await relay.stop()
    assert broker.depths(["default"]) == {"default": 2}


async def test_in_an_open_transaction_a_job_goes_with_it(database: Database, broker: Broker, settings) -> None:
    relay = Relay(database, Broker(settings))
    await relay.start()
    for commit in (False, True):
        work = Work(database)
        await work.transaction()
        await enqueue(work, EchoArgs())
        await work.end(commit=commit)
    await relay.stop()
    assert broker.depths(["default"]) == {"default": 1}
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(Job)) == 1


async def test_without_redis_a_commit_works_and_costs_no_wait(database: Database, settings) -> None:
    nowhere = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    relay = Relay(database, Broker(nowhere))
    await relay.start()
    for _ in range(5):
        async with database.transaction() as session:
            job = await enqueue(session, EchoArgs())
    await relay.stop()
    async with database.session() as session:
        assert (await session.get(Job, job.id)).state == "available"


async def test_many_senders_do_not_fill_redis(broker: Broker) -> None:
    for _ in range(3):
        broker.send({"default": TOKENS_CAP - 1})
    assert broker.depths(["default"]) == {"default": TOKENS_CAP}
