from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.identity import callers as module
from app.identity.callers import Callers
from app.identity.tokens import EVERYTHING, Claims
from app.kit.errors import Unavailable


class CountingDatabase:
    """The real database; it counts the queries and can hold them back."""

    def __init__(self, database):
        self._database = database
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, *arguments, **options):
        self.asked += 1
        await self.gate.wait()
        return await self._database.fetch(*arguments, **options)


@pytest.fixture
async def counting(database):
    return CountingDatabase(database)


@pytest.fixture
async def callers(counting):
    return Callers(counting, deadline=5)


@pytest.fixture
async def claims(sign_up, app):
    account = await sign_up()
    return app.state.identity.access_tokens.verify(account.headers["Authorization"].removeprefix("Bearer "))


def age(callers, seconds):
    """As if everything known had been read so much earlier."""
    for session_id, state in callers._states.items():
        callers._states[session_id] = module._State(state.caller, state.until - seconds)


async def test_a_caller_has_a_role_in_each_workspace_and_knows_the_personal_one(callers, claims, database):
    shared = uuid4()
    async with database.transaction() as session:
        await session.execute(text("INSERT INTO workspaces (id, name) VALUES (:id, 'Team')"), {"id": shared})
        await session.execute(
            text("INSERT INTO workspace_members (workspace_id, user_id, role) VALUES (:id, :user, 'viewer')"),
            {"id": shared, "user": claims.user_id},
        )
    caller = await callers.find(claims)
    assert (caller.user_id, caller.session_id, caller.is_superuser) == (claims.user_id, claims.session_id, False)
    assert caller.scopes == EVERYTHING
    assert caller.scope.roles[shared] == "viewer"
    assert caller.scope.roles[caller.scope.personal] == "owner"
    assert len(caller.scope.roles) == 2


async def test_within_a_second_nothing_is_asked_again(callers, counting, claims):
    first = await callers.find(claims)
    assert await callers.find(claims) is first
    assert counting.asked == 1
    assert 0 < callers._states[claims.session_id].until - time.monotonic() <= 1.0


async def test_after_a_second_the_database_decides(callers, claims, database):
    assert await callers.find(claims) is not None
    async with database.transaction() as session:
        await session.execute(text("UPDATE sessions SET revoked_at = now()"))
    age(callers, 1.0)
    assert await callers.find(claims) is None


async def test_requests_that_miss_at_once_share_one_query(callers, counting, claims):
    counting.gate.clear()
    waiting = [asyncio.create_task(callers.find(claims)) for _ in range(20)]
    await asyncio.sleep(0)
    counting.gate.set()
    found = await asyncio.gather(*waiting)
    assert counting.asked == 1
    assert all(caller is found[0] for caller in found)


async def test_a_client_that_hangs_up_takes_only_its_own_wait_with_it(callers, counting, claims):
    counting.gate.clear()
    first, second = (asyncio.create_task(callers.find(claims)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    counting.gate.set()
    assert (await second).user_id == claims.user_id
    assert counting.asked == 1


async def test_a_database_that_does_not_answer_is_given_up_and_asked_again_later(counting, claims):
    callers = Callers(counting, deadline=0.01)
    counting.gate.clear()
    with pytest.raises(Unavailable):
        await callers.find(claims)
    counting.gate.set()
    callers._deadline = 5
    assert await callers.find(claims) is not None


async def test_what_was_read_before_a_session_was_forgotten_is_not_kept(callers, counting, claims, database):
    counting.gate.clear()
    overtaken = asyncio.create_task(callers.find(claims))
    await asyncio.sleep(0)
    callers.forget(claims.session_id)
    counting.gate.set()
    await overtaken
    assert not callers._states
    assert not callers._loading


async def test_a_session_that_does_not_exist_has_no_caller(callers, counting):
    claims = Claims(uuid4(), uuid4(), EVERYTHING, 0)
    assert await callers.find(claims) is None
    assert await callers.find(claims) is None
    assert counting.asked == 1


async def test_no_more_sessions_are_remembered_than_there_is_room_for(callers, monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 3)
    ids = [uuid4() for _ in range(5)]
    for session_id in ids:
        await callers.find(Claims(session_id, uuid4(), EVERYTHING, 0))
    assert list(callers._states) == ids[2:]


async def test_both_ways_of_running_statements_find_the_same_caller(claims, settings):
    from app.infra.database import Database

    found = []
    for compiled in (True, False):
        database = Database(settings.model_copy(update={"database_compiled_statements": compiled}))
        await database.start()
        found.append(await Callers(database, deadline=5).find(claims))
        await database.stop()
    assert found[0] == found[1]
