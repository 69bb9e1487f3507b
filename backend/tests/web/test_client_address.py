from __future__ import annotations

import pytest

from app.web.client_address import UNKNOWN, client_address


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_an_address_stands_for_one_customer(peer, address):
    assert client_address({"type": "http", "client": (peer, 1), "headers": []}) == address


def test_a_peer_without_an_address_is_unknown():
    assert client_address({"type": "http", "client": None, "headers": []}) == UNKNOWN
