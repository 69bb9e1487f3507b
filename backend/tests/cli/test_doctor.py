from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import AnyUrl
from pydantic_core import MultiHostUrl
from sqlalchemy import text

from app.cli import examinations
from app.infra.database import Database
from app.infra.redis import Redis
from app.infra.settings import Settings
from app.recovery import programs
from tests.processes import running
from tests.servers import certificate, smtp_server

SAFE = {"SECRET_KEY": "x" * 32}


@pytest.fixture
def here(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {**SAFE, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "STORAGE_DIR": str(tmp_path)}


async def doctor(settings: dict[str, str], *options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and the findings by part."""
    async with running(["app.cli", "doctor", "--json", *options], settings) as process:
        code = await process.exit_code()
        report = json.loads("\n".join(process.lines))
    assert report["ok"] == (code == 0)
    parts: dict[str, list[dict[str, Any]]] = {}
    for finding in report["findings"]:
        assert (finding["todo"] is None) == (finding["level"] in {"ok", "skipped"}), finding
        parts.setdefault(finding["part"], []).append(finding)
    return code, parts


def faults(parts: dict[str, list[dict[str, Any]]]) -> dict[str, tuple[str, str]]:
    return {
        one["part"]: (one["found"], one["todo"])
        for findings in parts.values()
        for one in findings
        if one["level"] == "fault"
    }


async def test_before_the_start_it_finds_nothing_wrong_with_what_works(here: dict[str, str]) -> None:
    async with running(["app.cli", "doctor", "--before-start"], here) as process:
        assert await process.exit_code() == 0, process.lines
        lines = process.lines
    assert lines[-1].startswith("0 faults")
    assert {line.split()[1] for line in lines[:-1] if line.startswith("ok")} >= {
        "settings", "database", "schema", "clock", "redis", "storage", "mail",
    }  # fmt: skip


async def test_with_nothing_there_it_says_so_and_goes_on(tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    unwritable = {"STORAGE_DIR": "/proc/files", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1"}
    lost = str(tmp_path / "none.pem")
    unsafe = {"SECRET_KEY": "short", "ALLOWED_HOSTS": "*"}
    code, parts = await doctor(nowhere | unwritable | unsafe, "--certificate", lost)
    assert code == 1
    found = faults(parts)
    assert set(found) == {"settings", "database", "redis", "storage", "mail", "certificate"}
    assert [one["found"].split()[0] for one in parts["settings"]] == ["SECRET_KEY", "ALLOWED_HOSTS"]
    assert "127.0.0.1:1" in found["database"][0]
    assert "DATABASE_URL" in found["database"][1]
    assert "REDIS_URL" in found["redis"][1]
    assert "STORAGE_DIR" in found["storage"][1]
    assert "SMTP_HOST" in found["mail"][1]
    assert lost in found["certificate"][0]
    assert parts["work"][0]["level"] == "skipped"


@pytest.mark.parametrize(
    ("part", "wrong", "said"),
    [("/", "/no_such_database", "has no database"), ("://postgres:", "://nobody:", "refuses the sign-in")],
)
async def test_a_wrong_address_of_the_database_is_told_apart(
    here: dict[str, str], part: str, wrong: str, said: str
) -> None:
    before, _, after = here["DATABASE_URL"].rpartition(part)
    url = before + wrong + ("" if part == "/" else after)
    code, parts = await doctor({**here, "DATABASE_URL": url}, "--before-start")
    assert code == 1
    assert said in faults(parts)["database"][0]


async def test_a_wrong_address_for_migrations_and_backups_is_told_by_its_own_name(here: dict[str, str]) -> None:
    before, _, after = here["DATABASE_URL"].rpartition("://postgres:")
    code, parts = await doctor({**here, "DATABASE_DIRECT_URL": f"{before}://nobody:{after}"}, "--before-start")
    assert code == 1
    found, todo = faults(parts)["database"]
    assert "refuses the sign-in" in found
    assert "DATABASE_DIRECT_URL" in todo


async def test_a_schema_that_is_behind_is_a_fault(here: dict[str, str], empty_database_url: str) -> None:
    code, parts = await doctor({**here, "DATABASE_URL": empty_database_url}, "--before-start")
    assert code == 1
    assert faults(parts)["schema"][1] == "run taskapi migrate"


async def test_a_schema_from_the_future_is_told_apart(here: dict[str, str], database: Database) -> None:
    async def set_schema(revision: str, serves: str | None) -> None:
        async with database.transaction() as session:
            word = "NULL" if serves is None else f"'{serves}'"
            await session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
            await session.execute(text(f"COMMENT ON TABLE alembic_version IS {word}"))

    async with database.transaction() as session:
        before = (
            await session.execute(
                text("SELECT version_num, obj_description('alembic_version'::regclass) FROM alembic_version")
            )
        ).one()
    await set_schema("ffff", "fffe")
    try:
        _, parts = await doctor(here, "--before-start")
    finally:
        await set_schema(*before)
    assert faults(parts)["schema"][1] == "deploy the newer release"


async def test_work_is_known_by_its_proof_and_what_waits_is_named(here: dict[str, str], database: Database) -> None:
    code, parts = await doctor(here)
    assert code == 1
    assert set(faults(parts)) == {"workers", "beats"}
    async with database.transaction() as session:
        for statement in (
            (
                "INSERT INTO processes (id, role, host, pid, version, queues, known, slots) VALUES"
                " ('a', 'worker', 'a', 1, '1', '{default}', '{health.probe@1}', 2), ('b', 'beat', 'b', 1, '1', '{}', '{}', 0)"
            ),
            (
                "INSERT INTO jobs (id, kind, queue, args, state, max_attempts, finished_at) VALUES"
                " (gen_random_uuid(), 'health.probe', 'default', '{}', 'completed', 1, now())"
            ),
            (
                "INSERT INTO jobs (id, kind, queue, args, state, max_attempts, run_at) VALUES"
                " (gen_random_uuid(), 'health.probe', 'default', '{}', 'available', 1, now() - interval '10 min'),"
                " (gen_random_uuid(), 'of.tomorrow', 'slow', '{}', 'available', 1, now())"
            ),
            (
                "INSERT INTO schedules (id, name, kind, args, interval_seconds, next_slot, built_in) VALUES"
                " (gen_random_uuid(), 'probe', 'health.probe', '{}', 30, now(), true)"
            ),
            "INSERT INTO schedule_runs (schedule_id, slot, outcome) SELECT id, now(), 'enqueued' FROM schedules",
            "INSERT INTO paused_queues (queue) VALUES ('email')",
        ):
            await session.execute(text(statement))
    code, parts = await doctor(here)
    assert code == 0
    assert parts["workers"][0]["found"].startswith("1 alive")
    queues = [one["found"] for one in parts["queues"]]
    assert any("default has waited for 60" in found for found in queues)
    assert any("in slow are known to no worker" in found for found in queues)
    assert any("email is paused" in found for found in queues)


async def test_a_redis_that_deletes_messages_is_a_fault(
    here: dict[str, str], settings: Settings, own_redis: str
) -> None:
    redis = Redis(settings.model_copy(update={"redis_url": MultiHostUrl(own_redis)}))
    await redis.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await redis.stop()
    code, parts = await doctor({**here, "REDIS_URL": own_redis}, "--before-start")
    assert code == 1
    assert faults(parts)["redis"] == (
        "maxmemory-policy is allkeys-lru",
        "set maxmemory-policy noeviction: any other deletes messages when the memory is full",
    )
    assert [one["level"] for one in parts["redis"]] == ["ok", "fault", "warning"]  # and it has no append-only file
    _, parts = await doctor({**here, "REDIS_URL": own_redis.replace("//:", "//:not")}, "--before-start")
    assert faults(parts)["redis"][1] == "correct the password in REDIS_URL"


@pytest.mark.parametrize(("days", "level"), [(90, "ok"), (3, "warning"), (-2, "fault")])
async def test_a_certificate_near_its_end_is_told_in_time_and_so_are_pools_too_large_and_mail(
    here: dict[str, str], tmp_path: Path, days: int, level: str
) -> None:
    _, path = certificate(tmp_path, "localhost", days)
    async with smtp_server() as server:
        mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(server.port), "SMTP_STARTTLS": "false"}
        options = ("--before-start", "--certificate", str(path), "--apis", "10000")
        _, parts = await doctor({**here, **mail}, *options)
    assert [one["level"] for one in parts["certificate"]] == [level]
    assert [one["level"] for one in parts["mail"]] == ["ok"]
    assert server.messages == []
    assert "raise max_connections to" in faults(parts)["database"][1]


async def test_what_a_release_starts_without_is_no_reason_against_its_start(here: dict[str, str]) -> None:
    trouble = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "BACKUP_URL": "file:///proc/backups"}
    code, parts = await doctor({**here, **trouble}, "--before-start")
    assert code == 0
    assert [one["level"] for one in parts["mail"]] == ["warning"]
    assert [one["level"] for one in parts["backups"]] == ["warning", "warning"]


async def test_backups_that_are_not_made_or_cannot_be_are_told(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, nowhere = AnyUrl(f"file://{tmp_path}/backups"), AnyUrl("file:///proc/backups")

    async def found(url: AnyUrl | None, environment: str = "development") -> list[tuple[str, str]]:
        changed = settings.model_copy(update={"backup_url": url, "environment": environment})
        return [(one.level, one.found) async for one in examinations.backups(changed)]

    assert await found(None) == [("ok", "none is known, and BACKUP_URL is not set")]
    assert await found(None, "production") == [("warning", "none is known, and BACKUP_URL is not set")]
    assert await found(there) == [("warning", "none is known"), ("ok", f"{there} can be written")]
    assert list((tmp_path / "backups").iterdir()) == []
    async with database.transaction() as session:
        made = "INSERT INTO backups (name, taken_at, size) VALUES ('a', now() - interval '30 h', 1)"
        await session.execute(text(made))
    assert await found(there) == [("warning", "the newest is 30 h old"), ("ok", f"{there} can be written")]
    async with database.transaction() as session:
        await session.execute(text("UPDATE backups SET taken_at = now() - interval '5 h'"))
    assert await found(None, "production") == [("ok", "the newest is 5 h old")]
    (_, (level, said)) = await found(nowhere)
    assert (level, said.split(" (")[0]) == ("fault", f"{nowhere} cannot be written")
    monkeypatch.setenv("PROCESS_ROLE", "api")
    assert (await found(nowhere))[1] == ("skipped", "BACKUP_URL is examined where a worker runs")
    monkeypatch.setenv("PROCESS_ROLE", "worker")
    monkeypatch.setattr(programs, "_folders", list)
    (_, (level, said)) = await found(there)
    assert level == "fault"
    assert "is needed (there is none)" in said


@pytest.mark.parametrize(("skew", "level"), [(0.4, "ok"), (-5.0, "warning"), (31.0, "fault"), (-31.0, "fault")])
def test_clocks_that_differ_are_told(skew: float, level: str) -> None:
    assert examinations._judge_clock(skew).level == level


async def test_a_malformed_setting_is_named_without_its_value() -> None:
    async with running(["app.cli", "doctor"], {"DATABASE_URL": "hunter2", "DRAIN_SECONDS": "100"}) as process:
        assert await process.exit_code() == 3
        lines = process.lines
    assert lines[0].startswith("refused to start: DATABASE_URL: ")
    assert "hunter2" not in "".join(lines)
