from __future__ import annotations

import asyncio
import os
from datetime import timedelta

import pytest
from job_kinds import BulkArgs, EchoArgs, GateArgs, PartArgs
from redis.asyncio import Redis
from sqlalchemy import text

from app.infra import broker as broker_module
from app.infra.broker import Broker
from app.kit.clock import utc_now
from app.worker import enqueue_parent, kinds
from app.worker.reconciler import Duty, Reconciler


@pytest.fixture
def hold(database):
    """Makes a job one that a worker holds: its lease in seconds, and whose it is."""

    async def hold(job_id, seconds: float, worker: str = "elsewhere/1", **columns) -> None:
        more = "".join(f", {name} = {value}" for name, value in columns.items())
        async with database.transaction() as session:
            await session.execute(
                text(
                    "UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_token = gen_random_uuid(), started_at = now(),"
                    f" worker = :worker, lease_until = now() + make_interval(secs => :seconds){more} WHERE id = :id"
                ),
                {"id": job_id, "seconds": seconds, "worker": worker},
            )

    return hold


@pytest.fixture
def discarded(reconciler):
    """How many jobs of a kind were counted as discarded."""

    def discarded(kind: type[kinds.JobArgs]) -> float | None:
        labels = {"kind": kind.kind, "outcome": "discarded"}
        return reconciler.metrics.registry.get_sample_value("taskapi_job_attempts_ended_total", labels)

    return discarded


async def test_a_due_job_becomes_available(reconciler, add, look, database) -> None:
    due = await add(EchoArgs(), run_at=utc_now() + timedelta(hours=1))
    later = await add(EchoArgs(), run_at=utc_now() + timedelta(hours=1))
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET run_at = now() WHERE id = :id"), {"id": due})
    await reconciler.round()
    assert ((await look(due)).state, (await look(later)).state) == ("available", "scheduled")


async def test_the_next_round_comes_when_the_next_job_is_due(reconciler, add) -> None:
    await add(EchoArgs(), run_at=utc_now() + timedelta(seconds=1))
    assert await reconciler.round() <= 1


async def test_a_lease_that_is_over_gives_the_job_to_another_attempt(reconciler, add, look, hold) -> None:
    over, held = await add(EchoArgs()), await add(EchoArgs())
    await hold(over, -1)
    await hold(held, 60)
    await reconciler.round()
    job = await look(over)
    assert (job.state, job.attempt, job.deaths, job.lease_token) == ("available", 1, 0, None)
    assert (job.errors[0]["code"], job.errors[0]["attempt"]) == ("lease_expired", 1)
    assert (await look(held)).state == "running"


async def test_a_process_that_is_gone_does_not_keep_its_job_for_the_lease(settings, add, look, hold) -> None:
    mine = Reconciler(settings, Duty("here", os.getpid(), ["default"], kinds.known()))
    living = await asyncio.create_subprocess_exec("sleep", "60")
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    dead_job, live_job, foreign = [await add(EchoArgs()) for _ in range(3)]
    await hold(dead_job, 60, f"here/{gone.pid}")
    await hold(live_job, 60, f"here/{living.pid}")
    await hold(foreign, 60, f"elsewhere/{gone.pid}")
    await mine.round()
    job = await look(dead_job)
    assert (job.state, job.errors[0]["code"]) == ("available", "worker_died")
    assert {(await look(one)).state for one in (live_job, foreign)} == {"running"}
    living.kill()
    await living.wait()
    mine.close()


async def test_a_job_that_kills_its_processes_is_discarded_and_not_what_ran_beside_it(
    settings, add, look, hold
) -> None:
    mine = Reconciler(settings, Duty("here", os.getpid(), ["slow"], kinds.known()))
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    killer, bystander = await add(GateArgs()), await add(GateArgs())
    for _ in range(3):
        await hold(killer, 60, f"here/{gone.pid}")
        await hold(bystander, -1)
        await mine.round()
    job, other = await look(killer), await look(bystander)
    assert (job.state, job.deaths, job.errors[-1]["code"]) == ("discarded", 3, "poison")
    assert job.finished_at is not None
    assert (other.state, other.attempt, other.deaths) == ("available", 3, 0)
    mine.close()


@pytest.mark.parametrize(
    ("columns", "state"),
    [
        ({"max_attempts": 1}, "discarded"),
        ({"deadline_at": "now()"}, "discarded"),
        ({"cancel_requested_at": "now()"}, "cancelled"),
    ],
)
async def test_a_lost_attempt_that_must_not_be_repeated_ends_the_job(
    reconciler, add, look, hold, columns, state
) -> None:
    job_id = await add(EchoArgs())
    await hold(job_id, -1, **columns)
    await reconciler.round()
    assert (await look(job_id)).state == state


async def test_what_it_discards_is_counted_and_what_it_cancels_is_not(
    reconciler, add, hold, database, discarded
) -> None:
    lost, cancelled = await add(EchoArgs()), await add(EchoArgs())
    await hold(lost, -1, max_attempts=1)
    await hold(cancelled, -1, cancel_requested_at="now()")
    await add(GateArgs(), deadline_at=utc_now() - timedelta(seconds=1))
    async with database.transaction() as session:
        await enqueue_parent(session, BulkArgs(), [PartArgs()], deadline_at=utc_now() - timedelta(seconds=1))
    await reconciler.round()
    assert [discarded(kind) for kind in (EchoArgs, GateArgs, PartArgs, BulkArgs)] == [1, 1, 1, 1]


async def test_a_waiting_job_past_its_deadline_is_discarded(reconciler, add, look) -> None:
    job_id = await add(EchoArgs(), deadline_at=utc_now() - timedelta(seconds=1))
    await reconciler.round()
    job = await look(job_id)
    assert (job.state, job.errors[0]["code"]) == ("discarded", "deadline_exceeded")


async def test_a_parent_without_a_lease_is_not_taken_for_lost(reconciler, add, look, database) -> None:
    job_id = await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET state = 'running'"))
    await reconciler.round()
    assert (await look(job_id)).state == "running"


async def test_missing_tokens_are_sent_and_only_those(reconciler, add, broker: Broker) -> None:
    for _ in range(3):
        await add(EchoArgs())
    await add(GateArgs())
    await add(EchoArgs(), run_at=utc_now() + timedelta(hours=1))
    broker.send({"default": 1})
    await reconciler.round()
    await reconciler.round()
    assert broker.depths(["default", "slow", "email"]) == {"default": 3, "slow": 1, "email": 0}


async def test_what_is_no_list_makes_way_for_a_queue(reconciler, add, broker: Broker, settings, redis_url) -> None:
    await add(EchoArgs())
    async with Redis.from_url(redis_url) as redis:
        await redis.set(f"{settings.redis_key_prefix}urgent", "in the way of every worker that takes from urgent too")
        await redis.set(f"{settings.redis_key_prefix}default", "in the way")
        await reconciler.round()
        assert not await redis.exists(f"{settings.redis_key_prefix}urgent")
    await reconciler.round()
    assert broker.depths(["urgent", "default"]) == {"urgent": 0, "default": 1}


async def test_no_token_for_a_kind_that_nobody_here_knows(reconciler, add, database, broker: Broker) -> None:
    await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET kind = 'other.thing'"))
    await reconciler.round()
    assert broker.depths(["default"]) == {"default": 0}


async def test_a_backlog_is_not_poured_into_redis(reconciler, add, database, broker: Broker) -> None:
    await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(
            text(
                "INSERT INTO jobs (id, kind, queue, args_version, args, state, max_attempts)"
                " SELECT gen_random_uuid(), kind, queue, args_version, args, state, max_attempts FROM jobs, generate_series(1, 1500)"
            )
        )
    await reconciler.round()
    assert broker.depths(["default"]) == {"default": broker_module.TOKENS_CAP}


async def test_two_reconcilers_rescue_a_job_once(settings, add, look, hold) -> None:
    pair = [Reconciler(settings, Duty("test", 1, ["default"], kinds.known())) for _ in range(2)]
    jobs = [await add(EchoArgs()) for _ in range(20)]
    for job_id in jobs:
        await hold(job_id, -1)
    await asyncio.gather(*(one.round() for one in pair))
    assert [(job.state, len(job.errors)) for job in [await look(one) for one in jobs]] == [("available", 1)] * 20
    for one in pair:
        one.close()


async def test_without_redis_the_rows_are_put_in_order_all_the_same(settings, add, look, hold) -> None:
    nowhere = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    reconciler = Reconciler(nowhere, Duty("test", 1, ["default"], kinds.known()))
    job_id = await add(EchoArgs())
    await hold(job_id, -1)
    await reconciler.round()
    assert (await look(job_id)).state == "available"
    reconciler.close()


async def test_a_paused_queue_is_neither_claimed_from_nor_topped_up(
    reconciler, child, add, look, database, broker: Broker
) -> None:
    job_id = await add(EchoArgs())
    async with database.transaction() as session:
        await session.execute(text("INSERT INTO paused_queues (queue) VALUES ('default')"))
    await reconciler.round()
    assert broker.depths(["default"]) == {"default": 0}
    assert not await asyncio.to_thread(child.run_next, "default")
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM paused_queues"))
    await reconciler.round()
    assert broker.depths(["default"]) == {"default": 1}
    assert await asyncio.to_thread(child.run_next, "default")
    assert (await look(job_id)).state == "completed"
