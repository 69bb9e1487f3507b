"""Where a request comes from, as far as limits and the list of sign-ins care."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

UNKNOWN = "unknown"
"""Of a peer without an address, as on a Unix socket."""
_CUSTOMER_PREFIX = 64


def client_address(scope: Scope) -> str:
    """The client's address; an IPv6 address stands for its /64, which is one customer's.

    The roof has put the nearest address that is no trusted proxy into the scope; no header is looked at here.
    """
    client = scope.get("client")
    try:
        address = ip_address(client[0] if client else UNKNOWN)
    except ValueError:
        return UNKNOWN
    if address.version == 4:  # noqa: PLR2004
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(IPv6Network((int(address), _CUSTOMER_PREFIX), strict=False))
