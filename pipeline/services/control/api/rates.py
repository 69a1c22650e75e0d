"""How often who may ask: before a request's body is read. Floor 4; pure, time is passed in.

Who has the token or a session shares `[api] changes_per_s` with others of that kind. A stranger,
who tries to come in or brings a key in the body, has his address's own allowance: nobody uses up
anybody else's. Wrong keys and wrong tickets of an address keep it out for a while, as in the
gateway; loopback and trusted proxies are never kept out, and have one allowance together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.core.config import GatewayConfig
from pipeline.services.strangers import Addresses, Allowance, Allowances, WrongKeys

#: Requests a second of one address: tries to come in, and questions with a key.
ENTRIES_PER_S: Final = 10.0
KEYED_PER_S: Final = 500.0
_DEFAULTS: Final = GatewayConfig()
_ADDRESSES_REMEMBERED: Final = 4096
_SECOND_NS: Final = 10**9


class TooMany(Exception):
    """Asked too often; after `wait_s` it may be asked again."""

    def __init__(self, text: str, wait_s: float) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class Rates:
    """What requests count against; `limits` says what wrong keys cost, in the gateway and here."""

    def __init__(
        self, changes_per_s: float, trusted_proxies: Sequence[str] = (),
        limits: GatewayConfig = _DEFAULTS,
    ) -> None:  # fmt: skip
        self._addresses = Addresses(trusted_proxies)
        self._changes = Allowance(changes_per_s)
        self._entries = Allowances(ENTRIES_PER_S)
        self._questions = Allowances(KEYED_PER_S)
        self._wrong = WrongKeys(
            until_delay=limits.key_failures_delay, delay_s=0.0,
            until_ban=limits.key_failures_ban, ban_s=limits.ban_s,
            remembered=_ADDRESSES_REMEMBERED,
        )  # fmt: skip

    def address(self, peer: str, forwarded_for: str | None) -> str | None:
        """Return under which address a request counts; None for one that has no own."""
        return self._addresses.counted(self._addresses.client(peer, forwarded_for))

    def change(self, now_ns: int) -> None:
        """Count what somebody who is known changes; raises TooMany."""
        hint = "Too many changes a second: see [api] changes_per_s"
        _allow(self._changes.take(now_ns), hint)

    def question(self, address: str | None, now_ns: int, *, known: bool) -> None:
        """Count a question with a key in its body; raises TooMany."""
        if not known:
            self._let_in(address, now_ns)
        _allow(self._questions.take(address, now_ns), "Too many requests a second")

    def entry(self, address: str | None, now_ns: int) -> None:
        """Count a try to come in; raises TooMany."""
        self._let_in(address, now_ns)
        _allow(self._entries.take(address, now_ns), "Too many requests a second")

    def wrong_key(self, address: str | None, now_ns: int) -> None:
        """Count a key or a ticket that was wrong."""
        if address is not None:
            self._wrong.count(address, now_ns)

    def _let_in(self, address: str | None, now_ns: int) -> None:
        left_ns = 0 if address is None else self._wrong.ban_left_ns(address, now_ns)
        _allow(left_ns / _SECOND_NS, "Too many wrong keys from this address")


def _allow(wait_s: float, text: str) -> None:
    if wait_s:
        raise TooMany(text, wait_s)
