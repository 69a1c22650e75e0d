"""What a session needs of its gateway: keys looked at, instruments found, ticks sent. Floor 4.

Types only. The gateway's process is one desk for all of its clients; tests have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pipeline.services.gateway.session import Session


class Listed(NamedTuple):
    """An instrument that there is: `key` is its number within one owner."""

    key: int
    symbol: str
    exchange: str


class Desk(Protocol):
    """The gateway as a session sees it. Every call returns at once."""

    #: OpenAlgo's name of the broker whose ticks these are, and of all that there may be.
    broker: str
    brokers: list[str]

    def adapter_status(self, owner: str) -> str:
        """Return "connected" if any of an owner's connections is, else "disconnected"."""

    def check_key(self, client: Session, key: str) -> None:
        """Have a key verified off the loop; the answer is `client.key_checked`, on the loop.

        `client.key_unchecked` when it could not be told. Neither keeps nor logs the key.
        """

    def find(self, owner: str, exchange: str, symbol: str) -> Listed | None:
        """Return the instrument of exactly that name, in exactly that case."""

    def subscribe(self, client: Session, listed: Listed, mode: int) -> str | None:
        """Begin to send; return why not, as the client may read it, or None.

        Called once for each instrument and mode that the client does not have yet.
        """

    def acknowledged(self, client: Session, accepted: Sequence[tuple[Listed, int]]) -> None:
        """Learn that the answer to a subscription was said: last known ticks may follow."""

    def refusal(self, owner: str, listed: Listed) -> str | None:
        """Return why the pool has no place for it now, None if that is not known to be so."""

    def unsubscribe(self, client: Session, listed: Listed, mode: int | None) -> None:
        """Send no more of one mode; None: of the instrument."""

    def subscribe_orders(self, client: Session) -> None:
        """Send order updates of the client's owner."""

    def unsubscribe_orders(self, client: Session) -> None:
        """Send no more order updates."""
