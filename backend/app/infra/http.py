"""The one way out over HTTP. Where a call may go is decided by the address that it connects to, not by its name.

Design rule: resolve once, check every address, connect to the checked one, follow no redirect, bound time and size.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpcore2
import psutil

from app import SERVICE_NAME, __version__
from app.infra import logging, tracing
from app.infra.circuits import Circuits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.infra.database import Database
    from app.infra.settings import Settings

    Address = IPv4Address | IPv6Address

# Not `is_global`: it differs between patch releases of Python, and lets multicast and NAT64 through.
_CLOSED_V4 = [
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # a cloud's metadata at a public address
    )
]
"""IANA's special-purpose registry, multicast and reserved space."""
_OPEN_V6 = IPv6Network("2000::/3")
"""All that is given out as global unicast: mapped IPv4, NAT64, unique local, link-local and multicast lie outside."""
_CLOSED_V6 = [IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
"""Within it: Teredo and other protocols, documentation, 6to4."""
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_UNSAFE = re.compile(r"[^\x21-\x7e]|\\")
_SERVER_ERROR = 500


class HttpCallError(Exception):
    """Why there is no answer, as a stable `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Refused(HttpCallError):
    """We do not call this address, now or later."""


class Unreachable(HttpCallError):
    """No answer this time. The receiver may have got the call."""


class CircuitOpen(HttpCallError):
    """The host kept failing: it is left alone for `seconds` more."""

    def __init__(self, seconds: float) -> None:
        super().__init__("circuit_open", "The host failed repeatedly and is left alone for a while")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case; of repeated ones the last."""
    body: bytes = field(repr=False)
    truncated: bool
    """Whether there was more than `OUTGOING_MAX_BYTES`."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart once, so that what was checked is what is called."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def parse(url: str) -> Target:
    """Raises Refused for what is not a plain http or https URL: credentials, control characters, other schemes."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("url_refused", "This is not a URL") from None
    if parts.scheme not in {"http", "https"}:
        raise Refused("url_refused", "Only http and https are called")
    if _UNSAFE.search(url) or "@" in parts.netloc or not _HOST.fullmatch(host):
        raise Refused("url_refused", "The URL has credentials, or characters that a host name or a path has not")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def is_public(address: Address) -> bool:
    """Whether it is a unicast address of the public internet; every other one may be a way into somebody's network."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


class HttpClient:
    """Calls others, and leaves alone for a while those who fail. It keeps no connections and no cookies."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._allowed = {entry.lower() for entry in settings.outgoing_allowed_hosts}
        self._own_name = (urlsplit(settings.public_url).hostname or "").lower()
        self._circuits = Circuits(database.fetch)

    async def call(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request, one answer of whatever status; the present trace goes with it.

        Raises Refused, Unreachable or CircuitOpen.
        """
        target = parse(url)
        self._check_target(target)
        if seconds := await self._circuits.wait(target.name):
            raise CircuitOpen(seconds)
        try:
            where = {"server.address": target.host, "server.port": target.port, "http.request.method": method}
            with tracing.span(method, "CLIENT", **where) as told:
                async with asyncio.timeout(self._settings.outgoing_timeout):
                    addresses = await self._resolve(target)
                    answer = await self._send(method, target, addresses, headers or {}, body)
                told["http.response.status_code"] = answer.status
        except (Unreachable, TimeoutError) as error:
            await self._circuits.failed(target.name)
            if isinstance(error, Unreachable):
                raise
            raise Unreachable("timeout", f"No answer within {self._settings.outgoing_timeout:g} s") from None
        if answer.status >= _SERVER_ERROR:
            await self._circuits.failed(target.name)
        else:
            await self._circuits.succeeded(target.name)
        return answer

    def _check_target(self, target: Target) -> None:
        if target.name in self._allowed:
            return
        if target.port not in self._settings.outgoing_ports:
            raise Refused("port_refused", "This port is not called")
        if target.host.rstrip(".") == self._own_name:
            raise Refused("address_refused", "This is the service itself")

    async def _resolve(self, target: Target) -> list[str]:
        """The addresses to connect to. One that is not public condemns the name: the next look-up may give it first."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Unreachable("name_not_resolved", "The name has no address") from None
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        if target.name not in self._allowed:
            own = _own_addresses()
            for address in addresses:
                if "%" in address or not is_public(ip_address(address)) or address in own:
                    raise Refused("address_refused", "The address is not one of the public internet")
        return addresses

    async def _send(
        self, method: str, target: Target, addresses: Sequence[str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        url = httpcore2.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        sent = [("Host", _host_header(target)), ("User-Agent", f"{SERVICE_NAME}/{__version__}"), *headers.items()]
        if trace := logging.traceparent():
            sent.append(("traceparent", trace))
        encoded = [(name.encode(), value.encode()) for name, value in sent]
        limit = self._settings.outgoing_max_bytes
        # One address that swallows everything leaves time for the next.
        network = _Pinned(addresses, self._settings.outgoing_timeout / 2)
        try:
            async with (
                httpcore2.AsyncConnectionPool(ssl_context=_trust(), network_backend=network) as pool,
                pool.stream(method, url, headers=encoded, content=body or None) as response,
            ):
                received = bytearray()
                async for chunk in response.aiter_stream():
                    received += chunk
                    if len(received) > limit:
                        break
                answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                return Answer(response.status, answered, bytes(received[:limit]), len(received) > limit)
        except httpcore2.LocalProtocolError:
            raise Refused("request_invalid", "The method or a header is not one that HTTP has") from None
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            raise Unreachable("connection_failed", f"The connection failed ({type(error).__name__})") from error
        except httpcore2.ProtocolError as error:
            raise Unreachable("answer_not_http", "What came back is not HTTP") from error


class _Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, whatever the name means by now; the certificate is still the name's."""

    def __init__(self, addresses: Sequence[str], patience: float) -> None:
        self._addresses = addresses
        self._patience = patience
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  the interface's
        port: int,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = httpcore2.ConnectError("There is no address")
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(address, port, self._patience, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


def _host_header(target: Target) -> str:
    name = f"[{target.host}]" if ":" in target.host else target.host
    usual = target.port == (443 if target.scheme == "https" else 80)
    return name if usual else f"{name}:{target.port}"


@cache
def _trust() -> ssl.SSLContext:
    """The machine's certificate authorities; reading them takes longer than many a call."""
    return ssl.create_default_context()


def _own_addresses() -> set[str]:
    return {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
