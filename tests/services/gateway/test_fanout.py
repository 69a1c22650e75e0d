"""Ticks to outboxes: each encoded once for each mode, and only to its owner's clients."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ext.encode import MarketEncoder
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns
from pipeline.services.gateway.channel import TEXT, frame
from pipeline.services.gateway.fanout import Fanout
from pipeline.services.gateway.index import Index
from pipeline.services.gateway.outbox import Outbox, Sums

OWNERS = {0: "alice", 1: "bob", 2: "alice"}
INFY, TCS = 408065, 2953217


def ticks_of(*rows: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """Return ticks of (connection, token, mode)."""
    ticks = np.zeros(len(rows), layout.tick_dtype)
    for i, (connection, token, mode) in enumerate(rows):
        ticks[i]["connection"], ticks[i]["instrument_token"], ticks[i]["mode"] = (
            connection, token, mode,
        )  # fmt: skip
    ticks["last_price"], ticks["sequence"] = 12.5, 1
    ticks["receive_ts_ns"], ticks["receive_mono_ns"] = 1_700_000_000 * 10**9, monotonic_ns()
    return ticks


class Ground:
    """A fan-out with clients that keep their bytes."""

    def __init__(self) -> None:
        self.index, self.sums, self.dirty = Index(), Sums(), list[Outbox]()
        self.encoder = MarketEncoder()
        self.ages: list[int] = []
        self.fanout = Fanout(
            self.index, self.encoder, self.sums, self.dirty,
            owner_of=lambda connection: OWNERS.get(connection, ""), record=self.ages.append,
        )  # fmt: skip

    def client(self) -> tuple[Outbox, list[bytes]]:
        out: list[bytes] = []
        return Outbox(out.append, self.sums, self.dirty), out

    def have(self, owner: str, token: int, key: int, mode: int, outbox: Outbox) -> None:
        self.encoder.name(key, f"S{key}", "NSE", "zerodha")
        self.index.add(owner, token, key, mode, outbox)


def messages(out: list[bytes]) -> list[dict[str, Any]]:
    """Take the frames of unmasked text apart."""
    data, found = b"".join(out), []
    while data:
        size, head = data[1], 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        found.append(json.loads(data[head : head + size]))
        assert frame(TEXT, data[head : head + size]) == data[: head + size]
        data = data[head + size :]
    return found


def test_one_message_for_each_mode_that_is_had_and_the_same_bytes_for_all() -> None:
    ground = Ground()
    (first, out), (second, other) = ground.client(), ground.client()
    for mode in (1, 2, 3):
        ground.have("alice", INFY, 7, mode, first)
    ground.have("alice", INFY, 7, 3, second)
    ground.fanout.hand_on(ticks_of((0, INFY, 3), (0, TCS, 3), (2, INFY, 3)))
    assert [m["mode"] for m in messages(out)] == [1, 2, 3, 1, 2, 3]
    assert [m["mode"] for m in messages(other)] == [3, 3]
    assert messages(other)[0] == messages(out)[2]
    passes, sums = ground.fanout.passes, ground.sums
    assert (passes.ticks_in, passes.wanted, passes.unwanted, passes.encoded) == (3, 2, 1, 6)
    assert sums.offered == sums.sent == 8 and ground.dirty == [] and len(ground.ages) == 1


def test_a_tick_goes_to_its_owners_clients_alone() -> None:
    ground = Ground()
    (alice, to_alice), (bob, to_bob) = ground.client(), ground.client()
    ground.have("alice", INFY, 1, 1, alice)
    ground.have("bob", INFY, 2, 1, bob)
    ground.fanout.hand_on(ticks_of((0, INFY, 1), (2, INFY, 1), (9, INFY, 1)))
    assert len(messages(to_alice)) == 2 and to_bob == []
    ground.fanout.hand_on(ticks_of((1, INFY, 1)))
    assert [m["symbol"] for m in messages(to_bob)] == ["S2"] and len(messages(to_alice)) == 2
    assert ground.fanout.passes.unwanted == 1


def test_two_names_of_an_instrument_are_told_apart() -> None:
    ground = Ground()
    client, out = ground.client()
    ground.have("alice", INFY, 1, 1, client)
    ground.have("alice", INFY, 2, 1, client)
    ground.fanout.hand_on(ticks_of((0, INFY, 1)))
    assert [m["symbol"] for m in messages(out)] == ["S1", "S2"] and len(ground.index) == 1


def test_nothing_is_left_of_a_client_that_wants_nothing() -> None:
    ground = Ground()
    client, out = ground.client()
    for mode in (1, 3):
        ground.have("alice", INFY, 1, mode, client)
        ground.have("alice", INFY, 1, mode, client)
    assert ground.index.subscriptions == 2 and ground.index.mode("alice", INFY) == 3
    ground.index.remove(1, 3, client)
    assert ground.index.mode("alice", INFY) == 1
    ground.index.remove(1, None, client)
    ground.index.remove(1, None, client)
    assert ground.index.subscriptions == len(ground.index) == 0
    assert ground.index.mode("alice", INFY) == ground.index.mode("", INFY) == 0
    ground.fanout.hand_on(ticks_of((0, INFY, 3)))
    assert out == [] and ground.ages == []
