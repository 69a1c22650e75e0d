"""Doing actions: what each one in the table means for clients and exchange. Floor 4.

Malformed frames are extra ones between good frames. The good packets in them move their
instruments on like any other packet of load mode, and are logged as `malformed.py` says.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from pipeline.sim import malformed, texts
from pipeline.sim.actions import Action
from pipeline.sim.admission import Refusal
from pipeline.sim.client import Client
from pipeline.sim.conditions import Conditions
from pipeline.sim.exchange import Exchange
from pipeline.sim.malformed import Broken, Packet
from pipeline.sim.perform_rest import ON_REST


def select(exchange: Exchange, selector: Mapping[str, int | str]) -> list[Client]:
    """Return the open clients that every part of the selector fits."""
    wanted = {"session": "number"}
    return [
        client
        for client in exchange.clients
        if client.is_open
        and all(getattr(client, wanted.get(k, k)) == v for k, v in selector.items())
    ]


def perform(
    exchange: Exchange, action: Action, *, now_s: float, client: Client | None = None
) -> dict[str, Any]:
    """Do an action, to one client or to those it selects; return what to tell who asked."""
    on_exchange = _ON_EXCHANGE.get(action.name)
    if on_exchange is not None:
        return on_exchange(exchange, action, now_s)
    clients = select(exchange, action.selector) if client is None else [client]
    for chosen in clients:
        _perform_on_client(chosen, action, now_s)
    return {"sessions": [chosen.number for chosen in clients]}


def _perform_on_client(client: Client, action: Action, now_s: float) -> None:
    p = action.parameters
    make = _BROKEN.get(action.name)
    if make is not None:
        for _ in range(p.get("count", 1)):
            broken = make(_packets(client, p.get("packets", 1)), p, client.random)
            client.output.append_frame(broken.data, broken.rows)
    elif action.name in _PLAIN:
        client.queue(_PLAIN[action.name](p).data)
    else:
        _ON_CLIENT[action.name](client, p, now_s)
    client.flush(now_s)


def _packets(client: Client, count: int) -> list[Packet]:
    positions = client.output.positions()
    chosen = client.random.choices(positions.tolist(), k=count) if len(positions) else []
    clock_s = int(time.time())
    return [Packet(*client.output.take(position, now_s=clock_s)) for position in chosen]


_Broken = Callable[[list[Packet], Mapping[str, Any], random.Random], Broken]
_BROKEN: Final[Mapping[str, _Broken]] = {
    "lying_count": lambda packets, p, _: malformed.lying_count(packets, by=p["by"]),
    "lying_length": lambda packets, p, _: malformed.lying_length(packets, by=p["by"]),
    "unknown_size": lambda packets, p, r: malformed.unknown_size(packets, size=p["size"], source=r),
    "trailing": lambda packets, p, r: malformed.trailing(packets, size=p["bytes"], source=r),
    "fragmented": lambda packets, p, r: malformed.fragmented(packets, pieces=p["pieces"], source=r),
    "masked": lambda packets, p, _: malformed.masked(packets),
    "reserved_bits": lambda packets, p, _: malformed.reserved_bits(packets),
}

_PLAIN: Final[Mapping[str, Callable[[Mapping[str, Any]], Broken]]] = {
    "bad_text": lambda p: malformed.bad_text(p["kind"]),
    "ping_flood": lambda p: malformed.pings(p["count"]),
    "giant": lambda p: malformed.giant(p["bytes"]),
    "reserved_opcode": lambda p: malformed.reserved_opcode(),
    "empty": lambda p: malformed.empty(),
}


def _close(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.close(p["code"], p["reason"], now_s)


def _half_open(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions.half_open = True


def _mute(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions.hold_until_s = now_s + p["seconds"]


def _delay(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions.hold_until_s = now_s + p["ms"] / 1000


def _quiet(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions.quiet_until_s = now_s + p["seconds"]


def _dribble(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions.dribble_until_s = now_s + p["seconds"]
    client.conditions.dribble_gap_s = p["gap_ms"] / 1000


def _split(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions.split_until_s = now_s + p["seconds"]


def _merge(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions.merge_until_s = now_s + p["seconds"]
    client.conditions.merge_frames = p["frames"]


def _calm(client: Client, p: Mapping[str, Any], now_s: float) -> None:
    client.conditions = Conditions(half_open=client.conditions.half_open)


_ON_CLIENT: Final[Mapping[str, Callable[[Client, Mapping[str, Any], float], None]]] = {
    "reset": lambda client, p, now_s: client.drop(reset=True),
    "fin": lambda client, p, now_s: client.finish(now_s),
    "close": _close,
    "half_open": _half_open,
    "mute": _mute,
    "quiet": _quiet,
    "delay": _delay,
    "dribble": _dribble,
    "split": _split,
    "merge": _merge,
    "calm": _calm,
    "text": lambda client, p, now_s: client.queue_text(p["text"]),
    "over_limit": lambda client, p, now_s: client.queue_text(texts.over_limit(3000)),
}


def _refuse(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    p, key = action.parameters, action.selector.get("key")
    status = HTTPStatus(p["status"])
    retry_after_s = p["retry_after_s"]
    if retry_after_s is None and status is HTTPStatus.TOO_MANY_REQUESTS:
        retry_after_s = 1
    exchange.admission.refuse(
        Refusal(status, status.phrase, retry_after_s),
        now_s=now_s,
        count=p["count"],
        for_s=p["seconds"],
        key=None if key is None else str(key),
    )
    return {}


def _order(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    key = action.selector.get("key")
    told = exchange.send_order(None if key is None else str(key), action.parameters["data"] or {})
    return {"order": exchange.orders, "connections": told}


def _shift(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    p = action.parameters
    return {"shifted": exchange.listing.shift(p["instrument"], float(p["rupees"]))}


def _connection_limit(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    exchange.admission.limit_policy = action.parameters["policy"]
    exchange.admission.connection_limit = (
        action.parameters["limit"] or exchange.admission.connection_limit
    )
    return {}


def _instrument_limit(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    limit = action.parameters["limit"]
    most = exchange.options.subscriptions_max
    exchange.instrument_limit = most if limit is None else min(limit, most)
    exchange.takes_parts = action.parameters["crossing"] == "part"
    return {}


def _admit(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    exchange.admission.admit_again()
    return {}


def _slow_handshake(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    exchange.slow_openings += [action.parameters["gap_ms"] / 1000] * action.parameters["count"]
    return {}


def _revoke(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    exchange.admission.revoke(action.parameters["key"])
    return {}


def _restore(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    exchange.admission.restore(action.parameters["key"], action.parameters.get("token"))
    return {}


def _stat(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    return exchange.stat()


_ON_EXCHANGE: Final[Mapping[str, Callable[[Exchange, Action, float], dict[str, Any]]]] = {
    "order": _order,
    "shift": _shift,
    "refuse": _refuse,
    "admit": _admit,
    "slow_handshake": _slow_handshake,
    "connection_limit": _connection_limit,
    "instrument_limit": _instrument_limit,
    "revoke_token": _revoke,
    "restore_token": _restore,
    "rotate_token": _restore,
    **ON_REST,
    "stat": _stat,
}
