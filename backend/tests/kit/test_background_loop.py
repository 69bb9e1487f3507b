"""A loop beside the others that ends by itself is told of."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.infra import logging
from app.kit.lifecycle import BackgroundLoop


class Broken(BackgroundLoop):
    name = "broken"

    async def run(self) -> None:
        raise KeyError("no such thing")


class Steady(BackgroundLoop):
    name = "steady"

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_a_loop_that_dies_says_why_and_one_that_is_stopped_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging.configure("INFO", "json")
    broken, steady = Broken(), Steady()
    await steady.start()
    await broken.start()
    assert broken._task is not None
    await asyncio.wait({broken._task})
    await steady.stop()

    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["level"], told["event"], told["loop"]) == ("error", "background_loop_ended", "broken")
    assert "no such thing" in told["exception"]
