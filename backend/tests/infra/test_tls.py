"""TLS to PostgreSQL and Redis, as their addresses ask for it; the servers themselves stand behind what speaks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from ssl import SSLCertVerificationError
from urllib.parse import quote, urlsplit

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from app.infra import migrations
from app.infra.database import Database
from app.infra.redis import Redis, RedisUnavailable
from app.infra.settings import Settings
from app.infra.statements import Statement
from app.recovery import programs
from app.recovery import repository as recovery
from app.recovery.errors import BackupError
from app.worker.line import Line
from tests.servers import certificate, listening, passing_on, redis_by_tls

ONE = Statement(text("SELECT 1 AS one"))


@pytest.fixture
async def postgres(settings: Settings, tmp_path: Path) -> AsyncIterator[str]:
    """The address of the tests' database by TLS, with the certificate of `localhost` to trust."""
    context, trusted = certificate(tmp_path, "localhost")
    server = urlsplit(settings.driver_url)
    async with listening(passing_on(server.hostname or "", server.port or 5432, context)) as port:
        there = settings.driver_url.replace(f"{server.hostname}:{server.port}", f"localhost:{port}")
        yield f"{there}?sslrootcert={quote(str(trusted))}"


def by(settings: Settings, url: str) -> Settings:
    return Settings(**settings.model_dump() | {"database_url": url})


async def ask_by_every_door(settings: Settings) -> None:
    """Raises what the first of them raises."""
    line = Line(settings, "test")
    database = Database(settings)
    try:
        await database.start()
        await line.fetch(ONE, {})
        assert (await migrations.standing(settings.direct_url)).usable
        async with recovery.connected(settings.direct_url) as connection:
            assert await connection.fetchval("SELECT 1") == 1
    finally:
        line.close()
        await database.stop()


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_every_door_to_postgresql_speaks_tls(settings: Settings, postgres: str, mode: str) -> None:
    await ask_by_every_door(by(settings, f"{postgres}&sslmode={mode}"))


async def test_backups_go_by_the_same_tls(settings: Settings, postgres: str) -> None:
    url = by(settings, f"{postgres}&sslmode=verify-full&ssl_min_protocol_version=TLSv1.2").direct_url
    async with (
        recovery.connected(url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        dump = programs.dump(url, connection.get_server_version().major, snapshot)
        try:
            dumped = [piece async for piece in dump]
        except BackupError as error:
            if "SSL support is not compiled in" not in str(error):
                raise
            pytest.skip("this pg_dump was built without TLS")
    assert dumped[0].startswith(b"PGDMP")


async def test_another_name_than_the_certificates_is_taken_for_verify_ca_only(
    settings: Settings, postgres: str
) -> None:
    elsewhere = postgres.replace("@localhost", "@127.0.0.1")
    await ask_by_every_door(by(settings, f"{elsewhere}&sslmode=verify-ca"))
    with pytest.raises(SSLCertVerificationError):
        await ask_by_every_door(by(settings, f"{elsewhere}&sslmode=verify-full"))


async def test_a_certificate_that_nobody_trusts_is_refused(settings: Settings, postgres: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    _, other = certificate(tmp_path / "other", "localhost")
    url = postgres.partition("?")[0]
    with pytest.raises(SSLCertVerificationError):
        await ask_by_every_door(by(settings, f"{url}?sslmode=verify-ca&sslrootcert={other}"))
    await ask_by_every_door(by(settings, f"{url}?sslmode=require"))  # encrypted, and asks for no name


async def test_a_server_without_tls_is_refused_where_it_is_required(settings: Settings) -> None:
    with pytest.raises(ConnectionError):
        await ask_by_every_door(by(settings, f"{settings.driver_url}?sslmode=require"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("ssl=require", "ssl is none of the parameters"),
        ("sslmode=verify_full", "sslmode is one of"),
        ("sslmode=verify-ca&sslrootcert=/none.pem", "sslrootcert is no file that can be read"),
    ],
)
def test_what_an_address_cannot_ask_for_is_named(query: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(database_url=f"postgresql://ada@db/tasks?{query}", _env_file=None)
    problem = refused.value.errors()[0]
    assert problem["loc"] == ("database_url",)
    assert said in problem["msg"]


async def test_redis_is_reached_by_tls(settings: Settings, tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, "localhost")
    server = settings.redis_url.hosts()[0]
    async with listening(passing_on(server["host"] or "", server["port"] or 6379), context) as port:
        address = redis_by_tls(str(settings.redis_url), port)
        by_tls = settings.model_copy(update={"redis_url": f"{address}?ssl_ca_certs={trusted}", "redis_timeout": 2})
        door = Redis(by_tls)
        assert await door.execute("ECHO", "hello") == b"hello"
        await door.stop()
        unknown = Redis(settings.model_copy(update={"redis_url": address}))
        with pytest.raises(RedisUnavailable):
            await unknown.execute("ECHO", "hello")
        await unknown.stop()
