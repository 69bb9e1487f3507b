"""Passwords beside addresses, and settings in files."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.infra import settings as module
from app.infra.settings import REFUSED, Settings
from tests.processes import running


@pytest.mark.parametrize(
    ("url", "password", "expected"),
    [
        ("postgresql://ada@db:5432/tasks", "x@y/z:1", "postgresql+asyncpg://ada:x%40y%2Fz%3A1@db:5432/tasks"),
        ("postgresql://ada:own@db/tasks", "other", "postgresql+asyncpg://ada:own@db/tasks"),
        ("postgresql://ada@db/tasks", None, "postgresql+asyncpg://ada@db/tasks"),
    ],
)
def test_the_password_completes_an_address_that_has_none(url: str, password: str | None, expected: str) -> None:
    assert str(Settings(database_url=url, database_password=password, _env_file=None).database_url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis:6379/0", "redis://:secret@redis:6379/0"),
        ("redis://:own@redis:6379/0", "redis://:own@redis:6379/0"),
    ],
)
def test_redis_is_completed_too(url: str, expected: str) -> None:
    assert str(Settings(redis_url=url, redis_password="secret", _env_file=None).redis_url) == expected


def test_an_empty_file_is_no_secret(tmp_path) -> None:
    for name in ("scrape_token", "backup_key", "smtp_password", "previous_secret_keys"):
        (tmp_path / name).write_text("")
    found = Settings(_env_file=None, _secrets_dir=tmp_path)
    assert found.scrape_token is found.backup_key is found.smtp_password is None
    assert found.previous_secret_keys == []


def test_a_setting_can_be_a_file_and_the_environment_wins(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret_key").write_text("s" * 32 + "\n")
    (tmp_path / "log_level").write_text("ERROR")
    monkeypatch.setenv("SECRET_KEY", "")  # an empty variable is none
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    found = Settings(_env_file=None, _secrets_dir=tmp_path)
    assert found.secret_key.get_secret_value() == "s" * 32
    assert found.log_level == "DEBUG"
    assert module.SECRETS.as_posix() == "/run/secrets"


SAFE = {"environment": "production", "secret_key": "k" * 32, "allowed_hosts": "api.example.com"}


def named(**changes: object) -> list[str]:
    """The settings that are said to be unsafe."""
    problems = Settings(_env_file=None, **SAFE | changes).problems()
    return [problem.partition(": ")[0] for problem in problems]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("secret_key", "short"),
        ("secret_key", "your-secret-key-change-in-production"),
        ("previous_secret_keys", "k" * 32 + ",short"),
        ("backup_key", "example-" * 5),
        ("allowed_hosts", "*"),
        ("trusted_proxies", "*"),
        ("trusted_proxies", "10.0.0.0/8,0.0.0.0/0"),
        ("trusted_proxies", "::/0"),
    ],
)
def test_what_is_unsafe_is_named(setting: str, value: str) -> None:
    assert named(**{setting: value}) == [setting.upper()]
    assert named(**{setting: value}, environment="development") == [setting.upper()]


def test_production_wants_the_hosts_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOWED_HOSTS", raising=False)
    unset = {name: value for name, value in SAFE.items() if name != "allowed_hosts"}
    assert Settings(_env_file=None, **unset).problems() == ["ALLOWED_HOSTS: name the hosts under which clients come"]
    assert Settings(_env_file=None, **unset | {"environment": "development"}).problems() == []


@pytest.mark.parametrize(
    ("url", "problems"),
    [
        ("redis://redis:6379/0", ["REDIS_PASSWORD"]),
        ("rediss://10.0.0.7/0", ["REDIS_PASSWORD"]),
        ("redis://:own@redis/0", []),
        ("redis://localhost/0", []),
        ("redis://127.0.0.2/0", []),
        ("redis://[::1]/0", []),
        ("unix:///run/redis.sock", []),
    ],
)
def test_production_wants_a_password_for_a_redis_elsewhere(url: str, problems: list[str]) -> None:
    assert named(redis_url=url) == problems
    assert named(redis_url=url, environment="development") == []


def test_the_password_beside_the_address_counts() -> None:
    assert named(redis_url="redis://redis:6379/0", redis_password="own") == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [("worker_queues", "email,image"), ("health_critical_checks", "databse"), ("worker_queues", ",")],
)
def test_a_name_that_is_none_is_refused(setting: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, **{setting: value})
    assert refused.value.errors()[0]["loc"] == (setting,)


@pytest.mark.parametrize("role", ["worker", "beat"])
async def test_workers_and_beats_refuse_as_the_api_does(role: str) -> None:
    unsafe = {"ENVIRONMENT": "production", "SECRET_KEY": "short", "ALLOWED_HOSTS": "api"}
    async with running(["app.cli", role], unsafe) as process:
        assert await process.exit_code() == REFUSED
        assert [line.split(":")[1] for line in process.lines] == [" SECRET_KEY"]


async def test_a_queue_that_is_none_does_not_start_a_worker() -> None:
    async with running(["app.cli", "worker"], {"WORKER_QUEUES": "email,image"}) as process:
        assert await process.exit_code() == REFUSED
        said = "image: there is no such one, but urgent, default, slow, email, images, reports"
        assert process.lines == [f"refused to start: WORKER_QUEUES: {said}"]
