"""Passwords beside addresses, and settings in files."""

from __future__ import annotations

import pytest

from app.infra import settings as module
from app.infra.settings import Settings


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
