"""The gateway's page: what came in, what became of it, who is there. Floor 4."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.services.gateway.tally import Cuts, Refusals
from pipeline.shm.pages import StatusPage

if TYPE_CHECKING:
    from pipeline.services.gateway.process import Gateway


class Shown:
    """Brings a gateway's counts to its page; they go on from where its predecessor's stood."""

    def __init__(self, page: StatusPage) -> None:
        self._page = page
        dtype = page.record.dtype
        assert dtype.names is not None
        self._before = {name: int(page.record[name]) for name in dtype.names if dtype[name] == "u8"}
        before = self._before  # what waited when the predecessor ended reached nobody
        gone = before["messages_sent"] + before["messages_conflated"]
        before["messages_dropped"] = before["messages_offered"] - gone
        before["ticks_unwanted"] = before["ticks_in"] - before["ticks_wanted"]

    def show(self, gateway: Gateway) -> None:
        """Write the counts as they are now."""
        record = self._page.record
        for name, count in _counts(gateway).items():
            record[name] = self._before[name] + count
        for name, count in _gauges(gateway).items():
            record[name] = count


def _counts(gateway: Gateway) -> dict[str, int]:
    passes, sums = gateway.fanout.passes, gateway.sums
    orders = gateway.orders.sums
    house, desk, talk = gateway.house, gateway.desk, gateway.house.talk
    return {
        "passes": passes.passes,
        "ticks_in": passes.ticks_in,
        "ticks_wanted": passes.wanted,
        "ticks_unwanted": passes.unwanted,
        "ticks_lost": gateway.ticks_lost,
        "frames_encoded": passes.encoded,
        "messages_offered": sums.offered,
        "messages_sent": sums.sent,
        "messages_conflated": sums.conflated,
        "messages_dropped": sums.dropped,
        "orders_in": orders.orders_in,
        "orders_out": orders.orders_out,
        "orders_lost": gateway.orders_lost,
        "controls_in": talk.messages_in,
        "controls_out": talk.messages_out,
        "bytes_out": sums.bytes_out + talk.bytes_out,
        "connects": house.connects,
        "disconnects": house.disconnects,
        "refused": house.server.refusals.total,
        **_by_reason("refused", house.server.refusals),
        **_by_reason("cut", house.cuts),
        "bans": house.bans,
        "keys_accepted": desk.keys_accepted,
        "keys_refused": desk.keys_refused,
        "demand_refused": gateway.demand_refused,
    }


def _by_reason(what: str, tally: Refusals | Cuts) -> dict[str, int]:
    return {f"{what}_{why}": count for why, count in asdict(tally).items()}


def _gauges(gateway: Gateway) -> dict[str, int]:
    clients = gateway.desk.clients
    return {
        "clients": len(clients),
        "authenticated": sum(session.principal is not None for session in clients),
        "subscriptions": gateway.index.subscriptions,
        "instruments": len(gateway.index),
        "messages_waiting": sum(len(client.outbox) for client in clients.values()),
        "demanded": 0 if gateway.demand is None else len(gateway.demand),
        "port": gateway.port,
    }
