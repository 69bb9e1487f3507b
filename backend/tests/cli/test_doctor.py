from __future__ import annotations

from tests.processes import running


async def doctor(**settings: str) -> tuple[int, list[str]]:
    async with running(["app.cli", "doctor"], settings) as process:
        return await process.exit_code(), process.lines


async def test_it_finds_nothing_wrong_with_what_works(database_url: str, redis_url: str) -> None:
    code, lines = await doctor(DATABASE_URL=database_url, REDIS_URL=redis_url, SECRET_KEY="x" * 32)
    assert code == 0, lines
    assert [line.split(":")[0] for line in lines] == ["database", "database", "redis", "redis"]
    assert lines[-1].endswith("maxmemory-policy is noeviction")


async def test_each_fault_is_a_line_that_says_what_to_change() -> None:
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    code, lines = await doctor(**nowhere, SECRET_KEY="short", ALLOWED_HOSTS="*")
    assert code == 1
    assert [line.split()[0] for line in lines] == ["settings:", "settings:", "database:", "redis:"]
    assert "SECRET_KEY: set at least 32 random bytes" in lines[0]
    assert "DATABASE_URL does not answer" in lines[2]
    assert "REDIS_URL does not answer" in lines[3]


async def test_a_schema_that_is_behind_is_a_fault(empty_database_url: str, redis_url: str) -> None:
    code, lines = await doctor(DATABASE_URL=empty_database_url, REDIS_URL=redis_url, SECRET_KEY="x" * 32)
    assert code == 1
    assert any("run taskapi migrate" in line for line in lines)


async def test_a_malformed_setting_is_named_without_its_value() -> None:
    code, lines = await doctor(DATABASE_URL="hunter2", DRAIN_SECONDS="100")
    assert code == 3
    assert lines[0].startswith("refused to start: DATABASE_URL: ")
    assert "hunter2" not in "".join(lines)
