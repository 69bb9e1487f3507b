"""`.env.example` and the settings page say what Settings has; nothing is set that nobody reads."""

from __future__ import annotations

import re

import pytest

from app.infra.settings import Settings
from tools import reference


def test_each_setting_stands_in_exactly_one_group() -> None:
    grouped = [name for fields in reference.settings_groups().values() for name, _ in fields]
    assert sorted(grouped) == sorted(Settings.model_fields)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_says_what_it_is(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description is not None
    assert description.endswith(".")


def test_the_example_lists_each_setting_with_its_default() -> None:
    listed = dict(re.findall(r"^#([A-Z_]+)=(.*)$", reference.env_settings(), re.MULTILINE))
    assert set(listed) == {name.upper() for name in Settings.model_fields}
    assert listed["SECRET_KEY"] == ""  # made anew each time
    assert reference.ENV_EXAMPLE.read_text().endswith(reference.env_settings()), "run ./run docs"


def test_a_copy_of_the_example_means_the_defaults(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    uncommented = re.sub(r"^#(?=[A-Z_]+=)", "", reference.env_settings(), flags=re.MULTILINE)
    (tmp_path / "example").write_text(uncommented)
    from_example = Settings(_env_file=tmp_path / "example").model_dump(exclude={"secret_key"})
    assert from_example == Settings(_env_file=None).model_dump(exclude={"secret_key"})


def test_a_secret_that_was_left_empty_is_none(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.delenv("SCRAPE_TOKEN", raising=False)
    (tmp_path / "example").write_text("SECRET_KEY=\nSCRAPE_TOKEN=\n")
    settings = Settings(_env_file=tmp_path / "example")
    assert settings.secret_key.get_secret_value()
    assert settings.scrape_token is None


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_read_by_something(name: str) -> None:
    # Settings itself reads what it checks at start, and hands the database's address on in another form.
    own = (reference.BACKEND / "app" / "infra" / "settings.py").read_text()
    others = [path.read_text() for path in (reference.BACKEND / "app").rglob("*.py") if path.name != "settings.py"]
    assert f"self.{name}" in own or any(re.search(rf"settings\.{name}\b", source) for source in others), "take it out"
