"""Identifiers: UUIDv7, strictly increasing within a process."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import time_machine

from app.kit.ids import new_id


def milliseconds(identifier):
    return identifier.int >> 80


def test_an_id_is_a_uuid_of_version_7_and_begins_with_the_time():
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= milliseconds(made) <= after + 1


def test_ids_increase_also_within_one_millisecond():
    made = [new_id() for _ in range(5000)]

    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}


def test_ids_increase_although_the_clock_steps_back():
    before = new_id()
    with time_machine.travel(0, tick=False):
        during = [new_id() for _ in range(100)]

    assert [before, *during] == sorted({before, *during})


def test_threads_never_make_the_same_id():
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [new_id() for _ in range(1000)], range(8)))

    assert len({one for some in made for one in some}) == 8000
    assert all(some == sorted(some) for some in made)
