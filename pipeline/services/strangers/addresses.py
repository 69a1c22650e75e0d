"""Under which address a client is counted, if at all. Floor 4; pure.

Loopback and trusted proxies are counted under none: behind a proxy everybody has one address. Who
has one address of IPv6 has all of its network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

_HOST_BITS_OF_ONE: Final = 64

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Addresses:
    """Tells clients apart; `trusted_proxies` are addresses and networks."""

    def __init__(self, trusted_proxies: Sequence[str] = ()) -> None:
        self._trusted = tuple(ipaddress.ip_network(text, strict=False) for text in trusted_proxies)

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """Return whom a connection is from: what a trusted proxy says, else the peer itself.

        `forwarded_for` is the header X-Forwarded-For. Of its entries the last one that is not a
        proxy's counts: what stands before it is the client's own claim.
        """
        if forwarded_for is None or not self._is_trusted(peer):
            return peer
        for text in reversed(forwarded_for.split(",")):
            entry = text.strip()
            if _parsed(entry) is None:
                return peer
            if not self._is_trusted(entry):
                return entry
        return peer

    def counted(self, peer: str) -> str | None:
        """Return what an address is counted under; None for what is not counted."""
        address = _parsed(peer)
        if address is None:
            return peer
        if address.is_loopback or self._is_trusted(peer):
            return None
        if address.version == 4:
            return str(address)
        return str(ipaddress.ip_network((address, _HOST_BITS_OF_ONE), strict=False))

    def _is_trusted(self, text: str) -> bool:
        if not self._trusted:
            return False
        address = _parsed(text)
        return address is not None and any(address in network for network in self._trusted)


def _parsed(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
