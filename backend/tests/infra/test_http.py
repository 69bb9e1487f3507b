from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.infra import circuits, http, logging
from app.infra.circuits import Circuits
from app.infra.database import Database
from app.infra.http import CircuitOpen, HttpClient, Refused, Unreachable, is_public, parse
from app.infra.settings import Settings
from tests.servers import HttpServer, certificate, http_answer, http_server, listening


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    async with http_server() as server:
        yield server


def client_for(settings: Settings, database: Database, *ports: int, **changes: object) -> HttpClient:
    """A client that may call these ports of loopback."""
    allowed = [f"127.0.0.1:{port}" for port in ports]
    return HttpClient(settings.model_copy(update={"outgoing_allowed_hosts": allowed, **changes}), database)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.255.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.1.1.1"),
        *("240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1"),
    ],
)
def test_an_ipv4_address_that_is_not_the_internets_is_not_public(address: str) -> None:
    assert not is_public(IPv4Address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "64:ff9b::a9fe:a9fe"),
        *("64:ff9b:1::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::"),
        *("100::1", "5f00::1", "3fff::1", "::8.8.8.8"),
    ],
)
def test_an_ipv6_address_that_is_not_the_internets_is_not_public(address: str) -> None:
    assert not is_public(IPv6Address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.169.0.1"])
def test_an_ordinary_address_is_public(address: str) -> None:
    assert is_public(IPv4Address(address))


@given(st.ip_addresses(v=4))
def test_what_python_calls_special_is_not_public(address: IPv4Address) -> None:
    special = (
        address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    ) or address.is_reserved
    assert not (is_public(address) and special)


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_that_holds_an_ipv4_address_is_not_public(address: IPv6Address) -> None:
    holds = address.ipv4_mapped or address.sixtofour or address.teredo
    special = holds or address.is_private or address.is_link_local or address.is_multicast or address.is_site_local
    assert not (is_public(address) and special)


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://example.com/", "gopher://x/", "//example.com/", "example.com", "", "http://"),
        *("http://user:secret@example.com/", "http://@example.com/", "http://example.com\\@127.0.0.1/"),
        *("http://exa mple.com/", "http://example.com/\r\nHost: x", "http://example.com/\tx", "http://exämple.com/"),
        *("http://[::1%25eth0]/", "http://[::1", "http://example.com:99999/", "http://example.com:x/", "http://.com/"),
        *("http://a..b/", "http://example.com/ü", "http://exa%6dple.com/"),
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        parse(url)


@given(st.text())
def test_any_text_is_a_target_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://example.com/{text}"):
        try:
            target = parse(url)
        except Refused:
            continue
        assert target.host.isascii()
        assert not set(target.host + target.path) & set(" \r\n\t\x00\\@") - {"@"}
        assert "@" not in target.host


def test_a_fragment_is_not_sent() -> None:
    assert parse("https://Example.com/a?b=c#d").path == "/a?b=c"
    assert parse("https://Example.com").name == "example.com:443"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"],
)
async def test_no_way_of_writing_loopback_is_called(
    host: str, server: HttpServer, settings: Settings, database: Database
) -> None:
    client = client_for(settings, database, outgoing_ports=[server.port])
    with pytest.raises(Refused) as refused:
        await client.call("GET", f"http://{host}:{server.port}/")
    assert refused.value.code == "address_refused"
    assert server.requests == []


async def test_a_name_with_one_private_address_among_its_addresses_is_refused(
    server: HttpServer, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()

    async def resolve(*_: object, **__: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", server.port)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    with pytest.raises(Refused):
        await client_for(settings, database, outgoing_ports=[server.port]).call(
            "GET", f"http://a.example:{server.port}/"
        )
    assert server.requests == []


async def test_a_name_is_looked_up_once_and_the_checked_address_is_called(
    server: HttpServer, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [("127.0.0.1", server.port), ("127.0.0.2", server.port)]
    loop = asyncio.get_running_loop()

    async def resolve(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answers.pop(0))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    name = f"rebinding.example:{server.port}"
    client = client_for(settings, database, outgoing_allowed_hosts=[name])
    answer = await client.call("GET", f"http://{name}/")
    assert answer.status == 200
    assert len(answers) == 1
    assert server.requests[0][1]["host"] == name


async def test_the_next_address_is_tried_when_one_does_not_answer(
    server: HttpServer, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*_: object, **__: object) -> list[object]:
        addresses = ("127.0.0.2", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    name = f"two.example:{server.port}"
    client = client_for(settings, database, outgoing_allowed_hosts=[name])
    assert (await client.call("GET", f"http://{name}/")).status == 200


@pytest.mark.parametrize(("name", "well"), [("right.example", True), ("wrong.example", False)])
async def test_the_certificate_is_the_names_though_the_address_is_called(
    name: str, well: bool, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    tls, trusted = certificate(tmp_path, "right.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    http._trust.cache_clear()

    async def resolve(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    try:
        async with http_server(tls=tls) as server:
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
            name = f"{name}:{server.port}"
            calling = client_for(settings, database, outgoing_allowed_hosts=[name]).call("GET", f"https://{name}/")
            if well:
                assert (await calling).status == 200
            else:
                with pytest.raises(Unreachable):
                    await calling
                assert server.requests == []
    finally:
        http._trust.cache_clear()


@pytest.mark.parametrize("port", [22, 25, 6379, 8080])
async def test_other_ports_are_not_called(port: int, settings: Settings, database: Database) -> None:
    with pytest.raises(Refused) as refused:
        await client_for(settings, database).call("GET", f"http://example.com:{port}/")
    assert refused.value.code == "port_refused"


async def test_the_service_does_not_call_itself(settings: Settings, database: Database) -> None:
    client = client_for(settings, database, public_url="https://tasks.example.com")
    with pytest.raises(Refused):
        await client.call("GET", "https://TASKS.example.com/jobs")


async def test_an_allowed_host_is_allowed_at_its_port_only(
    server: HttpServer, settings: Settings, database: Database
) -> None:
    client = client_for(settings, database, server.port + 1, outgoing_ports=[server.port])
    with pytest.raises(Refused):
        await client.call("GET", server.url)


async def test_a_redirect_is_an_answer_and_is_not_followed(settings: Settings, database: Database) -> None:
    async with http_server() as inside:
        moved = http_answer(302, Location=f"http://127.0.0.1:{inside.port}/secrets")
        async with http_server(moved) as outside:
            answer = await client_for(settings, database, outside.port, inside.port).call("GET", outside.url)
        assert answer.status == 302
        assert inside.requests == []


async def test_what_was_given_is_sent_with_the_trace(
    server: HttpServer, settings: Settings, database: Database
) -> None:
    bound = logging.bind(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7")
    try:
        await client_for(settings, database, server.port).call(
            "POST", server.url + "?a=b", headers={"X-One": "1"}, body="ü".encode()
        )
    finally:
        logging.unbind(bound)
    line, headers, body = server.requests[0]
    assert line == "POST /hook?a=b HTTP/1.1"
    assert headers["x-one"] == "1"
    assert headers["traceparent"] == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert body == "ü".encode()


async def test_a_header_cannot_bring_another_one_with_it(
    server: HttpServer, settings: Settings, database: Database
) -> None:
    with pytest.raises(Refused):
        await client_for(settings, database, server.port).call("GET", server.url, headers={"X": "1\r\nY: 2"})
    assert server.requests == []


async def test_an_answer_without_an_end_is_read_up_to_the_limit(settings: Settings, database: Database) -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with listening(pour) as port:
        answer = await client_for(settings, database, port, outgoing_max_bytes=10_000).call(
            "GET", f"http://127.0.0.1:{port}/"
        )
    assert len(answer.body) == 10_000
    assert answer.truncated


async def test_a_host_that_says_nothing_is_left_in_time(
    server: HttpServer, settings: Settings, database: Database
) -> None:
    server.hang = True
    with pytest.raises(Unreachable) as failure:
        await client_for(settings, database, server.port, outgoing_timeout=0.2).call("GET", server.url)
    assert failure.value.code == "timeout"


async def test_a_byte_at_a_time_does_not_lengthen_the_time(settings: Settings, database: Database) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with listening(drip) as port:
        with pytest.raises(Unreachable) as failure:
            await client_for(settings, database, port, outgoing_timeout=0.3).call("GET", f"http://127.0.0.1:{port}/")
    assert failure.value.code == "timeout"


@pytest.mark.parametrize(("said", "code"), [(b"SSH-2.0-x\r\n\r\n", "answer_not_http"), (b"", "answer_not_http")])
async def test_what_is_not_http_is_no_answer(said: bytes, code: str, settings: Settings, database: Database) -> None:
    async with http_server(said) as server:
        with pytest.raises(Unreachable) as failure:
            await client_for(settings, database, server.port).call("GET", server.url)
    assert failure.value.code == code


async def test_a_host_that_keeps_failing_is_left_alone_and_tried_again_by_one(
    settings: Settings, database: Database
) -> None:
    async with http_server(http_answer(500)) as server:
        client = client_for(settings, database, server.port)
        host = f"127.0.0.1:{server.port}"
        for _ in range(circuits.FAILURES):
            assert (await client.call("GET", server.url)).status == 500
        with pytest.raises(CircuitOpen) as left_alone:
            await client.call("GET", server.url)
        assert 1 <= left_alone.value.seconds <= circuits.PAUSE
        assert len(server.requests) == circuits.FAILURES
        # Another process sees the same; once the pause is over one of them tries.
        known = Circuits(database.fetch)
        assert [*await known.all()] == [(host, "open")]
        await end_pause(database)
        waits = await asyncio.gather(*(known.wait(host) for _ in range(4)))
        assert min(waits) == 0
        assert all(seconds > 0 for seconds in sorted(waits)[1:])
        assert [*await known.all()] == [(host, "half_open")]
        await end_pause(database)
        server.answers = [http_answer(200)]
        assert (await client.call("GET", server.url)).status == 200
        assert await known.all() == []


async def end_pause(database: Database) -> None:
    from sqlalchemy import text

    async with database.transaction() as session:
        await session.execute(text("UPDATE outgoing_circuits SET open_until = now()"))


async def test_a_refused_address_says_nothing_about_the_host(settings: Settings, database: Database) -> None:
    with pytest.raises(Refused):
        await client_for(settings, database).call("GET", "http://127.0.0.1/")
    assert await Circuits(database.fetch).all() == []


async def test_a_name_that_does_not_exist_is_unreachable(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(*_: object, **__: object) -> list[object]:
        raise socket.gaierror

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(Unreachable) as failure:
        await client_for(settings, database).call("GET", "https://nobody.example/")
    assert failure.value.code == "name_not_resolved"
