"""Who somebody is by the address."""

from __future__ import annotations

import pytest

from pipeline.services.strangers import Addresses

STRANGER = "203.0.113.7"


@pytest.mark.parametrize(
    ("peer", "header", "address"),
    [
        (STRANGER, "1.2.3.4", STRANGER),  # not a proxy: nobody believes it
        (STRANGER, "127.0.0.1", STRANGER),
        ("127.0.0.1", "1.2.3.4", "127.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),  # the first is the client's own claim
        ("10.0.0.1", "127.0.0.1, 2001:db8::1, 10.0.0.2", "2001:db8::1"),
        ("10.0.0.1", "junk, 10.0.0.2", "10.0.0.1"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, header: str | None, address: str) -> None:
    assert Addresses(["10.0.0.0/8"]).client(peer, header) == address


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        (STRANGER, STRANGER),
        (f"::ffff:{STRANGER}", STRANGER),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("junk", "junk"),
        ("127.0.0.1", None),
        ("127.8.8.8", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("10.9.1.1", None),
        ("2001:db8:ffff::5", None),
    ],
)
def test_what_an_address_is_counted_under(address: str, counted: str | None) -> None:
    assert Addresses(["10.0.0.0/8", "2001:db8:ffff::/48"]).counted(address) == counted
