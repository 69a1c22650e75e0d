"""What one client, one address and all of them together may ask for. Floor 4; pure.

The defaults let every OpenAlgo client work as it is: the largest known message is a subscription of
3,000 symbols in 162 KB, and the oldest client sends a message for each of its symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.core.clock import NS_PER_S

_KIB: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Every limit of the gateway; those of addresses skip loopback and trusted proxies."""

    #: Of one client, until its key was found good.
    authenticate_within_s: float = 15.0
    early_payload_bytes: int = 4 * _KIB
    early_messages: int = 64  # that wait while the key is being looked at
    #: Of one client, from then on.
    payload_bytes: int = _KIB * _KIB
    instruments: int = 5_000
    control_messages_per_s: float = 50.0
    control_messages_burst: int = 1_000
    errors_per_minute: int = 20
    #: Of all clients, and of one address.
    connections: int = 4_096
    connections_per_address: int = 256
    unauthenticated: int = 256
    unauthenticated_per_address: int = 10
    #: Wrong keys of one address within a minute.
    wrong_keys_until_delay: int = 5
    wrong_key_delay_s: float = 1.0
    wrong_keys_until_ban: int = 20
    ban_s: float = 900.0
    #: How many addresses are remembered for their wrong keys; as many again for their ban.
    addresses_remembered: int = 4_096

    @property
    def early_bytes(self) -> int:
        """How many bytes may wait while a key is being looked at."""
        return self.early_messages * self.early_payload_bytes

    def control_messages(self) -> TokenBucket:
        """Return a client's bucket, full."""
        return TokenBucket(rate=self.control_messages_per_s, burst=self.control_messages_burst)


class TokenBucket:
    """Lets `burst` through at once and `rate` in each `per_ns` after that; whole nanoseconds."""

    __slots__ = ("_interval_ns", "_tolerance_ns", "_used_until_ns")

    def __init__(self, *, rate: float, burst: int, per_ns: int = NS_PER_S) -> None:
        self._interval_ns = int(per_ns / rate)
        self._tolerance_ns = (burst - 1) * self._interval_ns
        self._used_until_ns = 0

    def ready_ns(self) -> int:
        """Return from when on the next one may pass; may lie in the past."""
        return self._used_until_ns - self._tolerance_ns

    def take(self, now_ns: int, count: int = 1) -> None:
        """Count what passes, also when it is more than may: the next ones then wait for longer."""
        self._used_until_ns = max(self._used_until_ns, now_ns) + count * self._interval_ns
