"""How much the processes tell, changed while they run."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from app.cli import main
from app.core.level_watch import LevelWatch
from app.infra import log_level, logging
from app.infra.broker import Broker
from app.infra.log_level import Change, LevelInForce, decode, encode
from app.infra.redis import Redis
from app.infra.settings import Settings
from app.kit.schema import rfc3339
from tests.processes import running

LATER = time.time() + 3600


@pytest.fixture
def level() -> Any:
    logging.configure("INFO", "json")
    yield LevelInForce(Settings(log_level="INFO"))
    logging.set_level("INFO")


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Which events came through, the last ones first changed."""
    log = structlog.get_logger("anything")
    log.debug("fine")
    log.info("plain")
    log.warning("odd")
    log.error("bad")
    return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]


def test_a_level_counts_at_once_and_its_change_is_told(level: LevelInForce, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys) == ["plain", "odd", "bad"]
    level.heed(encode(Change("DEBUG", "ada", LATER)))
    change = json.loads(capsys.readouterr().out)
    assert (change["event"], change["log_level"], change["by"]) == ("log_level_changed", "DEBUG", "ada")
    assert change["until"] == rfc3339(datetime.fromtimestamp(LATER, UTC))
    assert told(capsys) == ["fine", "plain", "odd", "bad"]
    level.heed(encode(Change("ERROR", "ada", LATER)))
    assert told(capsys) == ["log_level_changed", "bad"]
    level.heed(encode(Change("ERROR", "ada", LATER)))
    assert told(capsys) == ["bad"]
    level.heed(None)
    assert told(capsys) == ["log_level_changed", "plain", "odd", "bad"]


def test_without_redis_it_lasts_until_its_time_and_no_longer(
    level: LevelInForce, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    level.heed(encode(Change("DEBUG", "ada", now + 60)))
    level.nothing_heard()
    assert told(capsys) == ["log_level_changed", "fine", "plain", "odd", "bad"]
    monkeypatch.setattr(time, "time", lambda: now + 61)
    level.nothing_heard()
    assert told(capsys) == ["log_level_changed", "plain", "odd", "bad"]


@pytest.mark.parametrize(
    "stored",
    [None, b"", b"garbage", b"[]", b"{}", b'{"level":"LOUD","by":"x","until":%d}' % LATER, encode(Change("DEBUG", "x", 5.0)),
     b'{"level":"DEBUG","by":"x","until":"soon"}', b'{"level":["DEBUG"],"by":"x","until":%d}' % LATER,
     b'{"level":"DEBUG","by":"x","until":1e300}', b'{"level":"DEBUG","by":"x","until":NaN}',
     encode(Change("DEBUG", "x", time.time() + 25 * 3600)), encode(Change("DEBUG", "x" * 201, LATER)),
     b'{"level":"DEBUG","by":["x"],"until":%d}' % LATER],
    ids=["nothing", "empty", "no JSON", "a list", "no fields", "no level", "over", "until in words", "two levels",
         "until for ever", "until NaN", "until too late", "a long name", "two names"],
)  # fmt: skip
def test_what_is_not_a_level_or_is_over_counts_as_none(stored: bytes | None) -> None:
    assert decode(stored) is None


def environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": str(settings.database_url),
        "REDIS_URL": str(settings.redis_url),
        "REDIS_KEY_PREFIX": settings.redis_key_prefix,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "PORT": "0",
    }


def command(given: dict[str, str], *arguments: str) -> tuple[int, str]:
    done = CliRunner(env=given).invoke(main, ["log-level", *arguments])
    return done.exit_code, done.output.strip()


async def test_api_and_beat_follow_the_command_and_go_back(settings: Settings) -> None:
    given = environment(settings)
    async with running(["app.cli", "serve"], given) as api, running(["app.cli", "beat"], given) as beat:
        await api.event("started")
        code, said = await asyncio.to_thread(command, given, "debug", "--minutes", "2", "--by", "ada")
        assert (code, said[:12], said[-6:]) == (0, "DEBUG until ", "by ada")
        for process in (api, beat):
            await process.event("log_level_changed", log_level="DEBUG", by="ada")
        assert await asyncio.to_thread(command, given, "--back") == (0, "INFO, as LOG_LEVEL says")
        for process in (api, beat):
            await process.event("log_level_changed", log_level="INFO")


async def test_what_is_no_string_in_redis_counts_as_none(settings: Settings) -> None:
    redis, broker = Redis(settings), Broker(settings)
    watch = LevelWatch(settings, redis)
    await redis.execute("LPUSH", log_level.key(settings), "DEBUG")
    assert broker.value(log_level.key(settings)) is None
    broker.close()
    assert (await asyncio.to_thread(command, environment(settings)))[0] == 0
    await watch.start()
    assert watch._task is not None
    done, _ = await asyncio.wait({watch._task}, timeout=0.5)
    assert not done
    await watch.stop()
    await redis.stop()


async def test_a_redis_that_refuses_to_tell_is_asked_again(
    settings: Settings, own_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_level, "LOOK_SECONDS", 0.01)
    redis = Redis(settings.model_copy(update={"redis_url": own_redis}))
    await redis.execute("ACL", "SETUSER", "default", "-mget")
    watch = LevelWatch(settings, redis)
    await watch.start()
    assert watch._task is not None
    refused = 0
    while refused < 2 and not watch._task.done():
        refused = (await redis.execute("INFO", "errorstats")).get("errorstat_NOPERM", {}).get("count", 0)
    assert not watch._task.done()
    await watch.stop()
    await redis.stop()


def test_redis_forgets_it_in_time(settings: Settings) -> None:
    given = environment(settings)
    assert command(given) == (0, "INFO, as LOG_LEVEL says")
    assert command(given, "DEBUG", "--minutes", "3")[0] == 0
    broker = Broker(settings)
    assert 0 < broker._redis.ttl(log_level.key(settings)) <= 180
    broker.close()


def test_a_level_that_there_is_not_is_refused_and_so_is_one_that_nobody_hears(settings: Settings) -> None:
    given = environment(settings)
    assert command(given, "loud") == (2, "log-level: the levels are DEBUG, INFO, WARNING, ERROR")
    assert command({**given, "REDIS_URL": "redis://127.0.0.1:1/0"}, "DEBUG")[0] == 1
