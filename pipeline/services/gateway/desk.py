"""What sessions ask of the gateway: names, subscriptions, keys, orders. Floor 4.

Every answer is there at once: names are in memory, the pool is asked by a thread, keys are looked
at in another. Whose ticks a client gets is decided by its key's owner alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pipeline.brokers.kite.order_update import BROKER_NAME
from pipeline.core.clock import monotonic_ns
from pipeline.services.gateway.client import Client
from pipeline.services.gateway.demand import Demand
from pipeline.services.gateway.index import Index
from pipeline.services.gateway.names import Names
from pipeline.services.gateway.orders import Orders
from pipeline.services.gateway.session import Listed, Session
from pipeline.services.keys import KeyStore, KeyStoreError, Principal

_NOT_STREAMED: Final = (
    "{symbol} on {exchange} is not streamed here: without a [pool] only what the config lists is"
)

_log = logging.getLogger(__name__)


class Desk:
    """The desk of all sessions; see `session.Desk`.

    demand: None without a pool; then `streamed` has what each owner's connections carry.
    snapshot: sends the last known tick of an instrument to a client, None to send none.
    """

    broker = BROKER_NAME
    brokers = [BROKER_NAME]

    def __init__(
        self,
        *,
        index: Index,
        names: Names,
        orders: Orders,
        demand: Demand | None,
        streamed: Mapping[str, frozenset[int]] | None,
        keys: KeyStore,
        is_connected: Callable[[str], bool],
        snapshot: Callable[[Client, Sequence[tuple[Listed, int]]], object] | None = None,
    ) -> None:
        self.clients: dict[Session, Client] = {}
        self.keys_accepted = 0
        self.keys_refused = 0
        self._index = index
        self._names = names
        self._orders = orders
        self._demand = demand
        self._streamed = streamed
        self._keys = keys
        self._is_connected = is_connected
        self._snapshot = snapshot
        self._without: dict[str, dict[int, str]] = {}

    def adapter_status(self, owner: str) -> str:
        """Return "connected" if any of an owner's connections is, else "disconnected"."""
        return "connected" if self._is_connected(owner) else "disconnected"

    def find(self, owner: str, exchange: str, symbol: str) -> Listed | None:
        """Return the instrument of exactly that name, in exactly that case."""
        return self._names.find(owner, exchange, symbol)

    # ---- subscriptions ------------------------------------------------------------------------

    def subscribe(self, client: Session, listed: Listed, mode: int) -> str | None:
        """Begin to send; return why not, or None."""
        owner = _owner_of(client)
        token = self._names.token(listed)
        if self._demand is not None:
            self._demand.want(owner, token, mode)
        elif self._streamed is not None and token not in self._streamed.get(owner, ()):
            return _NOT_STREAMED.format(symbol=listed.symbol, exchange=listed.exchange)
        self._index.add(owner, token, listed.key, mode, self.clients[client].outbox)
        return None

    def refusal(self, owner: str, listed: Listed) -> str | None:
        """Return why the pool has no place for it now, None if that is not known to be so."""
        return self._without.get(owner, {}).get(self._names.token(listed))

    def follow(self, owner: str, without: dict[int, str]) -> None:
        """Learn what of an owner's has no place now, {token: why}, and tell who wants to know."""
        changed = self._without.get(owner, {}).keys() ^ without.keys()
        self._without[owner] = without
        table = self._index.table(owner)
        keys = {entry.key for token in changed for entry in table.get(token, ())}
        if not keys:
            return
        for session in list(self.clients):
            principal = session.principal
            if session.wants_status and principal is not None and principal.owner == owner:
                session.places_changed(keys)

    def acknowledged(self, client: Session, accepted: Sequence[tuple[Listed, int]]) -> None:
        """Send the last known ticks of what was subscribed to, if that is wanted."""
        if self._snapshot is not None:
            self._snapshot(self.clients[client], accepted)

    def unsubscribe(self, client: Session, listed: Listed, mode: int | None) -> None:
        """Send no more of one mode; None: of the instrument."""
        entry = self._index.remove(listed.key, mode, self.clients[client].outbox)
        if entry is not None and self._demand is not None:
            self._demand.release(entry.owner, entry.token, monotonic_ns())

    def subscribe_orders(self, client: Session) -> None:
        """Send order updates of the client's owner."""
        self._orders.add(self.clients[client])

    def unsubscribe_orders(self, client: Session) -> None:
        """Send no more order updates."""
        self._orders.remove(self.clients[client])

    # ---- keys ---------------------------------------------------------------------------------

    def check_key(self, client: Session, key: str) -> None:
        """Have a key verified in a thread; the answer comes on the loop."""
        work = asyncio.ensure_future(asyncio.to_thread(self._keys.verify, key))
        work.add_done_callback(lambda done: self._checked(client, done))

    def _checked(self, client: Session, done: asyncio.Future[Principal | None]) -> None:
        error = None if done.cancelled() else done.exception()
        here = self.clients.get(client)
        if here is None or done.cancelled():
            return
        if error is None:
            principal = done.result()
            self.keys_accepted += principal is not None
            self.keys_refused += principal is None
            client.key_checked(principal, monotonic_ns())
        else:
            if not isinstance(error, KeyStoreError):
                raise error
            _log.error(str(error))
            client.key_unchecked(monotonic_ns())
        here.look_again()

    async def end_revoked(self) -> None:
        """End the clients whose keys are good no longer."""
        ids = {s.principal.key_id for s in self.clients if s.principal is not None}
        if not ids:
            return
        try:
            valid = await asyncio.to_thread(self._keys.valid, ids)
        except KeyStoreError as error:
            _log.error(str(error))
            return
        for session in list(self.clients):
            principal = session.principal
            if principal is not None and principal.key_id in ids - valid:
                session.key_revoked()


def _owner_of(client: Session) -> str:
    principal = client.principal
    assert principal is not None and principal.owner is not None, "sessions ask no sooner"
    return principal.owner
