from __future__ import annotations

import pytest

from app.infra.breaker import Breaker


@pytest.fixture
def breaker() -> Breaker:
    return Breaker(failures=3, pause=3600)


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


def test_a_success_between_starts_the_count_again(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.allows()


def test_after_the_pause_one_caller_may_try_and_its_outcome_decides() -> None:
    breaker = Breaker(failures=1, pause=3600)
    breaker.failed()
    breaker._closed_again -= 3600  # as if the pause had passed
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed()
    assert not breaker.allows()
    breaker._closed_again -= 3600
    assert breaker.allows()
    breaker.succeeded()
    assert all(breaker.allows() for _ in range(3))
