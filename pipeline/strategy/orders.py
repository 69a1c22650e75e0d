"""Order updates, each once, however many connections brought it. Floor 3; pure.

A broker sends the order updates of an account to every connection of its credentials. What one
connection says twice is passed on twice: at least once is what is promised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

#: What makes two updates one (Kite Connect v3 documentation, postbacks).
KEY_FIELDS: Final = ("order_id", "status", "exchange_update_timestamp", "filled_quantity")
#: So many of the newest updates are remembered; connections are seconds apart at worst.
REMEMBERED_MAX: Final = 10_000


class OrderFilter:
    """Knows which updates another connection has brought already; `repeated` counts those."""

    def __init__(self) -> None:
        self.repeated = 0
        self._seen: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def is_new(
        self, connection: int, order: Mapping[str, Any] | None, owner: str = ""
    ) -> bool:  # fmt: skip
        """Return whether an update is to be passed on; one without an order's id always is.

        Those of different owners are never the same.
        """
        if order is None or order.get("order_id") is None:
            return True
        key = (owner, *(repr(order.get(field)) for field in KEY_FIELDS))
        first = self._seen.setdefault(key, connection)
        if len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)
        if first != connection:
            self.repeated += 1
        return first == connection
