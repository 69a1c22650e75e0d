"""Order updates, from the order rings to those who asked for their own. Floor 4.

An update goes to clients of the owner of the connection that brought it, and to nobody else. It is
never replaced by a newer one: it counts as an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from pipeline.brokers.kite.order_update import order_update
from pipeline.services.gateway.client import Client
from pipeline.strategy.items import OrderUpdate

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class OrderSums:
    """Updates that came, and messages that were made of them."""

    orders_in: int = 0
    orders_out: int = 0


class Orders:
    """Who wants order updates; `find` names an instrument token as OpenAlgo does."""

    def __init__(self, find: Callable[[int], str | None]) -> None:
        self.sums = OrderSums()
        self._find = find
        self._clients: dict[Client, None] = {}

    def add(self, client: Client) -> None:
        """Send a client its owner's updates."""
        self._clients[client] = None

    def remove(self, client: Client) -> None:
        """Send it no more."""
        self._clients.pop(client, None)

    def hand_on(self, owner: str, update: OrderUpdate) -> None:
        """Send an update to the clients of its owner."""
        self.sums.orders_in += 1
        if update.order is None or not owner:
            return
        made: dict[str, bytes] = {}
        for client in self._clients:
            principal = client.session.principal
            if principal is None or principal.owner != owner:
                continue
            message = made.get(principal.name)
            if message is None:
                said = order_update(update.order, user=principal.name, find=self._find)
                message = made[principal.name] = _encode(said)
            client.say(message)
            self.sums.orders_out += 1
