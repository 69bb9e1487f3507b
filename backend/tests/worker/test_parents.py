"""A parent has no handler: it ends as its children did."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from job_kinds import BulkArgs, EchoArgs, PartArgs
from sqlalchemy import func, select, text

from app.infra.work import Work
from app.jobs import service
from app.kit.errors import InvalidInput
from app.models import Job, Workspace
from app.worker import enqueue, enqueue_parent, handler
from app.worker.pruner import prune_kind


@pytest.fixture
def add_parent(database):
    async def add_parent(*children, **options):
        async with database.transaction() as session:
            return (await enqueue_parent(session, BulkArgs(), children, **options)).id

    return add_parent


@pytest.fixture
def run_all(child):
    async def run_all(queue: str = "default") -> int:
        ran = 0
        while await asyncio.to_thread(child.run_next, queue):
            ran += 1
        return ran

    return run_all


@pytest.fixture
def settle(reconciler, database):
    """A round of the reconciler at which every parent is due to be counted."""

    async def settle() -> None:
        async with database.transaction() as session:
            await session.execute(text("UPDATE jobs SET lease_until = now() WHERE lease_token IS NULL"))
        await reconciler.round()

    return settle


@pytest.fixture
def states(database):
    async def states(parent_id) -> dict[str, int]:
        async with database.session() as session:
            counted = select(Job.state, func.count()).where(Job.parent_id == parent_id).group_by(Job.state)
            return dict(list(await session.execute(counted)))

    return states


async def test_a_parent_completes_with_its_last_child_and_counts_them_meanwhile(
    add_parent, child, run_all, settle, look
) -> None:
    parent_id = await add_parent(PartArgs(), PartArgs())
    await asyncio.to_thread(child.run_next, "default")
    await settle()
    parent = await look(parent_id)
    assert (parent.state, parent.lease_token, parent.result) == ("running", None, None)
    assert (parent.progress["current"], parent.progress["total"]) == (1, 2)
    assert await run_all() == 1
    await settle()
    parent = await look(parent_id)
    counts = {"completed": 2, "cancelled": 0, "discarded": 0, "live": 0}
    assert (parent.state, parent.attempt, parent.result) == ("completed", 0, {"total": 2, "children": counts})
    assert parent.finished_at is not None


async def test_a_parent_without_children_completes(add_parent, settle, look) -> None:
    parent_id = await add_parent()
    await settle()
    assert (await look(parent_id)).state == "completed"


async def test_one_discarded_child_discards_the_parent_and_a_retry_tries_only_that_child(
    add_parent, run_all, settle, look, states, database
) -> None:
    parent_id = await add_parent(PartArgs(), PartArgs(fails=True))
    await run_all()
    await settle()
    parent = await look(parent_id)
    assert (parent.state, parent.errors[-1]["code"]) == ("discarded", "children_discarded")
    async with database.transaction() as session:
        assert (await service.retry(session, None, parent_id))["state"] == "running"
    assert await states(parent_id) == {"completed": 1, "available": 1}
    async with database.transaction() as session:
        await session.execute(text("UPDATE jobs SET args = '{}' WHERE state = 'available'"))
    assert await run_all() == 1
    await settle()
    assert (await look(parent_id)).state == "completed"


async def test_a_retried_child_makes_its_parent_wait_again(add_parent, run_all, settle, look, database) -> None:
    parent_id = await add_parent(PartArgs(fails=True))
    await run_all()
    await settle()
    async with database.transaction() as session:
        child_id = await session.scalar(select(Job.id).where(Job.parent_id == parent_id))
        assert (await service.retry(session, None, child_id))["state"] == "available"
    assert (await look(parent_id)).state == "running"


async def test_cancelling_a_parent_cancels_what_waits_and_ends_it_after_what_runs(
    add_parent, add, settle, look, states, database
) -> None:
    parent_id = await add_parent(PartArgs(), PartArgs())
    bystander = await add(EchoArgs())
    async with database.transaction() as session:
        held = "state = 'running', lease_token = gen_random_uuid(), lease_until = now() + '1h'"
        one = f"(SELECT id FROM jobs WHERE parent_id = '{parent_id}' LIMIT 1)"
        await session.execute(text(f"UPDATE jobs SET {held} WHERE id = {one}"))
    assert (await service.cancel(Work(database), None, parent_id))["state"] == "running"
    assert await states(parent_id) == {"running": 1, "cancelled": 1}
    await settle()
    assert (await look(parent_id)).state == "running"
    async with database.transaction() as session:
        ended = "state = 'cancelled', lease_token = NULL, lease_until = NULL, finished_at = now()"
        await session.execute(text(f"UPDATE jobs SET {ended} WHERE parent_id = '{parent_id}' AND state = 'running'"))
    await settle()
    assert (await look(parent_id)).state == "cancelled"
    assert (await look(bystander)).state == "available"


async def test_a_parent_and_its_children_come_with_the_transaction_or_not_at_all(database) -> None:
    async with database.session() as session:
        await enqueue_parent(session, BulkArgs(), [PartArgs()] * 3)
        await session.rollback()
        assert await session.scalar(select(func.count()).select_from(Job)) == 0


async def test_one_child_whose_args_are_too_large_refuses_them_all(database) -> None:
    async with database.session() as session:
        with pytest.raises(InvalidInput):
            await enqueue_parent(session, BulkArgs(), [PartArgs(), EchoArgs(text="x" * 65_536)])


async def test_a_parent_that_is_there_under_its_unique_key_gets_no_more_children(add_parent, states) -> None:
    first = await add_parent(PartArgs(), unique_key="newsletter")
    assert await add_parent(PartArgs(), unique_key="newsletter") == first
    assert await states(first) == {"available": 1}


async def test_many_children_do_not_hold_up_a_single_job(add_parent, add, child, look) -> None:
    await add_parent(*[PartArgs()] * 20)
    single = await add(PartArgs())
    await asyncio.to_thread(child.run_next, "default")
    assert (await look(single)).state == "completed"


async def test_parents_take_no_place_among_the_running_jobs_of_a_workspace(
    add_parent, run_all, database, settings
) -> None:
    async with database.transaction() as session:
        session.add(workspace := Workspace(name="busy"))
    for _ in range(settings.job_workspace_limit):
        await add_parent(PartArgs(), workspace_id=workspace.id)
    assert await run_all() == settings.job_workspace_limit


async def test_a_parent_is_pruned_after_its_children_and_they_stay_while_it_counts_them(
    add_parent, run_all, settle, look, states, database
) -> None:
    await add_parent(PartArgs(), PartArgs())
    await run_all()
    async with database.transaction() as session:
        long_ago = "finished_at = now() - interval '1 year' WHERE finished_at IS NOT NULL"
        await session.execute(text(f"UPDATE jobs SET {long_ago}"))
    assert await prune_kind(database, "test.part") == 0
    await settle()
    async with database.transaction() as session:
        await session.execute(text(f"UPDATE jobs SET {long_ago}"))
    assert [await prune_kind(database, kind) for kind in ("test.bulk", "test.part", "test.bulk")] == [0, 2, 1]


async def test_thousands_of_children_are_all_there(add_parent, states) -> None:
    parent_id = await add_parent(*[PartArgs()] * 2500)
    assert await states(parent_id) == {"available": 2500}


async def test_a_parent_is_not_enqueued_like_a_job_nor_a_job_like_a_parent(database) -> None:
    async with database.session() as session:
        with pytest.raises(ValueError, match="enqueue_parent"):
            await enqueue(session, BulkArgs())
        with pytest.raises(ValueError, match="no parent"):
            await enqueue_parent(session, PartArgs(), [])
    with pytest.raises(ValueError, match="children do the work"):
        handler(BulkArgs)(lambda _, __: None)


async def test_children_share_their_parent_s_deadline(add_parent, reconciler, settle, look, database) -> None:
    now = await _now(database)
    parent_id = await add_parent(PartArgs(), deadline_at=now - timedelta(seconds=1))
    await reconciler.round()
    await settle()
    assert (await look(parent_id)).state == "discarded"


async def _now(database):
    async with database.session() as session:
        return await session.scalar(text("SELECT now()"))
