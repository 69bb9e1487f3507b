from pathlib import Path

import asyncpg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.postgres import PostgresServer
from devstack.private import private_servers
from devstack.state import State, port_is_free
from devstack.valkey import ValkeyServer


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_server_left_over_is_ended_before_the_next_one_starts(tmp_path, kind, capfd):
    left_over, server = kind(State(tmp_path)), None
    left_over.start_on_free_port()
    try:
        server = kind(State(tmp_path))
        server.start_on_free_port()
        assert f"ending {server.name} (pid {left_over.pid}), left over" in capfd.readouterr().out
        assert not left_over.running
        assert server.running
        assert server.port == left_over.port
    finally:
        left_over.stop(5)
        if server:
            server.stop(5)


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_server_whose_port_was_taken_meanwhile_moves(tmp_path, kind):
    thief, server = kind(State(tmp_path / "thief")), kind(State(tmp_path / "server"))
    thief.start_on_free_port()
    try:
        server.port = thief.port
        server.start_on_free_port()
        assert server.port != thief.port
        assert State(tmp_path / "server").recall(f"{server.name}_port") == server.port
    finally:
        thief.stop(5)
        server.stop(5)


async def test_private_servers_serve_a_superuser_and_leave_nothing():
    with private_servers() as (database_url, redis_url):
        connection = await asyncpg.connect(database_url)
        assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        directory = await connection.fetchval("SHOW hba_file")
        await connection.close()
        with redis.Redis.from_url(redis_url) as client:
            assert client.ping()
            directory = Path(client.config_get("dir")["dir"]).parent
        assert directory.is_dir()
        ports = [int(url.rsplit(":", 1)[1].split("/")[0]) for url in (database_url, redis_url)]
    assert not directory.exists()
    assert all(port_is_free(port) for port in ports)


async def test_the_application_owns_its_database_and_nothing_else(tmp_path):
    server = PostgresServer(State(tmp_path))
    server.start_on_free_port()
    try:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE EXTENSION pg_trgm; CREATE EXTENSION citext; CREATE EXTENSION unaccent")
        await connection.execute("CREATE TABLE mine (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE ROLE other")
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url.replace("taskapi:", "taskapi:x"))
    finally:
        server.stop(5)


def test_valkey_wants_the_password_and_keeps_everything(tmp_path):
    server = ValkeyServer(State(tmp_path))
    server.start_on_free_port()
    try:
        with (
            redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            kept = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")
        assert kept == {
            "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "bind": "127.0.0.1",
        }  # fmt: skip
    finally:
        server.stop(5)
