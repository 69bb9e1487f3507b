"""The rows that matter most, each a few seconds long: what is lost, repeated or stale counts here, and no time."""

from __future__ import annotations

import os

import pytest

from tests.faults.rows import ROWS
from tests.faults.trial import Trial


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "rounds"),
    [
        ("F1", 2),
        ("F2", 1),
        ("F3", 2),
        ("F4", 20),
        ("F7", 3),
        ("F11", 1),
        ("F16", 6),
        ("F18", 20),
        ("F20", 1),
        ("F23", 2),
        ("F27", 1),
        ("pitr", 1),
    ],
)
async def test_a_fault_loses_nothing_and_repeats_nothing(name: str, rounds: int) -> None:
    trial = Trial(ROWS[name], os.environ["TEST_DATABASE_URL"], rounds, print, quick=True)
    await trial.run()
    if trial.not_run is not None:
        pytest.skip(trial.not_run)
    assert trial.failures == []
