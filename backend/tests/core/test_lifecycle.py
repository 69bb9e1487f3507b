from __future__ import annotations

import asyncio

import pytest

from app.core.lifecycle import AppLifecycleManager
from app.kit.lifecycle import Check


class Part:
    """A small component that writes down what happens to it."""

    start_timeout = 1.0
    stop_timeout = 0.05

    def __init__(self, name: str, diary: list[str], *, fails: int = 0, breaks_at_stop: bool = False) -> None:
        self.name = name
        self.diary = diary
        self.fails = fails
        self.breaks_at_stop = breaks_at_stop
        self.waits_for: asyncio.Event | None = None
        self.hangs_at_stop = False

    async def start(self) -> None:
        self.diary.append(f"start {self.name}")
        if self.waits_for is not None:
            await self.waits_for.wait()
        if self.fails:
            self.fails -= 1
            raise ConnectionError(f"{self.name} refused\nsecond line")

    async def stop(self) -> None:
        self.diary.append(f"stop {self.name}")
        if self.breaks_at_stop:
            raise ValueError(self.name)
        if self.hangs_at_stop:
            await asyncio.Event().wait()

    def checks(self) -> list[Check]:
        return []


@pytest.fixture
def diary() -> list[str]:
    return []


def manager(*parts: Part, startup_timeout: float = 5.0, **options: object) -> AppLifecycleManager:
    return AppLifecycleManager(parts, startup_timeout=startup_timeout, teardown_seconds=5.0, **options)  # type: ignore[arg-type]


async def test_parts_start_in_order_and_stop_in_reverse(diary: list[str]) -> None:
    lifecycle = manager(Part("a", diary), Part("b", diary))
    lifecycle.begin()
    await lifecycle.wait_started()
    assert lifecycle.phase == "started"
    await lifecycle.stop()
    assert diary == ["start a", "start b", "stop b", "stop a"]
    assert lifecycle.phase == "stopped"


async def test_a_part_that_fails_is_tried_again(diary: list[str]) -> None:
    lifecycle = manager(Part("a", diary, fails=2))
    lifecycle.begin()
    await lifecycle.wait_started()
    assert diary == ["start a"] * 3
    await lifecycle.stop()


async def test_when_the_time_is_over_what_was_started_is_stopped_and_one_line_says_why(diary: list[str]) -> None:
    told = asyncio.Event()
    lifecycle = manager(Part("a", diary), Part("b", diary, fails=99), startup_timeout=0.0, on_failure=told.set)
    lifecycle._components[1].start_timeout = 0.0
    lifecycle.begin()
    await told.wait()
    assert lifecycle.failure == "b could not be started: ConnectionError: b refused"
    assert diary[-2:] == ["stop b", "stop a"]
    with pytest.raises(RuntimeError, match="b could not be started"):
        await lifecycle.wait_started()
    await lifecycle.stop()
    assert lifecycle.phase == "failed"


async def test_a_part_that_hangs_is_given_up_at_the_deadline(diary: list[str]) -> None:
    part = Part("a", diary)
    part.waits_for = asyncio.Event()
    part.start_timeout = 0.05
    lifecycle = manager(part, startup_timeout=0.05)
    lifecycle.begin()
    with pytest.raises(RuntimeError, match="a could not be started: TimeoutError"):
        await lifecycle.wait_started()
    await lifecycle.stop()


async def test_a_stop_that_fails_or_hangs_does_not_skip_the_next(diary: list[str]) -> None:
    hanging = Part("hanging", diary)
    hanging.hangs_at_stop = True
    lifecycle = manager(Part("a", diary), Part("b", diary, breaks_at_stop=True), hanging)
    lifecycle.begin()
    await lifecycle.wait_started()
    await lifecycle.stop()
    assert diary[-3:] == ["stop hanging", "stop b", "stop a"]


async def test_stopping_twice_stops_each_part_once(diary: list[str]) -> None:
    lifecycle = manager(Part("a", diary))
    lifecycle.begin()
    await lifecycle.wait_started()
    await lifecycle.stop()
    await lifecycle.stop()
    assert diary == ["start a", "stop a"]


async def test_stopping_while_a_part_starts_ends_the_start_and_stops_it(diary: list[str]) -> None:
    part = Part("a", diary)
    part.waits_for = asyncio.Event()
    lifecycle = manager(part, Part("b", diary))
    lifecycle.begin()
    await asyncio.sleep(0)  # one turn of the loop: the start begins
    assert diary == ["start a"]
    await lifecycle.stop()
    assert diary == ["start a", "stop a"]
    with pytest.raises(RuntimeError, match="stopped"):
        await lifecycle.wait_started()


async def test_draining_still_serves_and_tells_the_streams(diary: list[str]) -> None:
    lifecycle = manager(Part("a", diary))
    lifecycle.drain()
    assert not lifecycle.draining
    lifecycle.begin()
    await lifecycle.wait_started()
    lifecycle.drain()
    assert lifecycle.draining
    assert lifecycle.started
    assert lifecycle.told_to_drain.is_set()
    await lifecycle.stop()
