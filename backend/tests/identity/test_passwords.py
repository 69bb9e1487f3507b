from __future__ import annotations

import asyncio
import threading

import pytest

from app.identity import passwords as module
from app.identity.passwords import QUEUE_PER_WORKER, HashingBusy, PasswordHasher


@pytest.fixture
async def hasher():
    hasher = PasswordHasher(workers=1)
    await hasher.start()
    yield hasher
    await hasher.stop()


async def test_only_the_right_password_belongs_to_a_hash(hasher):
    hashed = await hasher.hash("correct horse")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify("correct horse", hashed)
    assert not await hasher.verify("correct horsf", hashed)


async def test_every_byte_of_a_long_password_counts(hasher):
    long = "x" * 72
    hashed = await hasher.hash(long + "a")
    assert not await hasher.verify(long + "b", hashed)
    assert not await hasher.verify(long, hashed)


async def test_where_there_is_no_hash_one_of_the_same_cost_is_checked(hasher, monkeypatch):
    checked = []
    verify = module._ARGON2ID.verify
    monkeypatch.setattr(module._ARGON2ID, "verify", lambda *given: checked.append(given[1]) or verify(*given))
    assert not await hasher.verify("anything", None)
    (decoy,) = checked
    assert decoy.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_the_password_behind_the_decoy_signs_nobody_in(hasher):
    hasher._decoy = await hasher.hash("known")
    assert not await hasher.verify("known", None)


async def test_a_full_queue_answers_at_once_and_recovers(hasher):
    release = threading.Event()
    waiting = [asyncio.create_task(hasher._run(release.wait)) for _ in range(1 + QUEUE_PER_WORKER)]
    await asyncio.sleep(0)
    with pytest.raises(HashingBusy) as busy:
        await hasher.hash("one too many")
    assert busy.value.status == 503
    assert busy.value.headers["Retry-After"]
    release.set()
    await asyncio.gather(*waiting)
    assert await hasher.hash("room again")


async def test_no_more_passwords_are_hashed_at_once_than_there_are_workers():
    hasher = PasswordHasher(workers=2)
    running, most, lock = 0, 0, threading.Lock()
    gate = threading.Barrier(2)

    def work():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(timeout=10)
        with lock:
            running -= 1

    await asyncio.gather(*(hasher._run(work) for _ in range(8)))
    await hasher.stop()
    assert most == 2


async def test_it_may_be_stopped_twice():
    hasher = PasswordHasher(workers=1)
    await hasher.stop()
    await hasher.stop()
