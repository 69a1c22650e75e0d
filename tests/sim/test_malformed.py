"""Malformed frames against the official parser: what is logged is what a reader may accept."""

from __future__ import annotations

import random
import struct

import pytest

from ext.simulate import KIND_FRESH, KIND_LYING
from pipeline.sim import malformed
from pipeline.sim.malformed import Broken, Packet
from pipeline.sim.market import Listing


def packets(count: int) -> list[Packet]:
    listing = Listing(20, seed=1, now_s=1_700_000_000)
    return [
        Packet(listing.market.packet(i, 2), int(listing.tokens[i]), i + 1, 2) for i in range(count)
    ]


def payload(broken: Broken) -> bytes:
    head = 2 if broken.data[1] < 126 else 4
    return broken.data[head:]


def parse(broken: Broken) -> list[int]:
    from kiteconnect import KiteTicker

    ticks = KiteTicker("key", "token")._parse_binary(payload(broken))
    return [tick["instrument_token"] for tick in ticks]


def tokens(broken: Broken, kind: int) -> list[int]:
    assert {row[3] for row in broken.rows} <= {kind}
    return [row[0] for row in broken.rows]


@pytest.mark.parametrize("size", [None, 4, 7, 12, 164, 492])
def test_what_the_official_client_accepts_is_logged_as_fresh(size: int | None) -> None:
    source = random.Random(5)
    good = packets(3)
    for broken in (
        malformed.lying_count(good, by=-2),
        malformed.trailing(good, size=9, source=source),
        malformed.unknown_size(good, size=size or 12, source=source),
        malformed.lying_count([], by=-1),
    ):
        assert parse(broken) == tokens(broken, KIND_FRESH)


@pytest.mark.parametrize("size", [0, 3])
def test_where_the_official_client_fails_the_whole_packets_are_logged_as_lying(size: int) -> None:
    source = random.Random(5)
    good = packets(3)
    cases = [
        (malformed.lying_count(good, by=2), 3),
        (malformed.lying_length(good, by=1000), 2),
        (malformed.unknown_size(good, size=size, source=source), 3),
    ]
    for broken, whole in cases:
        assert tokens(broken, KIND_LYING) == [packet.token for packet in good[:whole]]
    with pytest.raises(struct.error):
        parse(cases[0][0])
    with pytest.raises(struct.error):
        parse(cases[2][0])


def test_fragments_join_to_the_good_message() -> None:
    good = packets(4)
    for seed in range(50):
        broken = malformed.fragmented(good, pieces=5, source=random.Random(seed))
        opcodes, joined, at = [], b"", 0
        while at < len(broken.data):
            first, size = broken.data[at], broken.data[at + 1]
            head = 2
            if size == 126:
                head, size = 4, int.from_bytes(broken.data[at + 2 : at + 4], "big")
            opcodes.append(first)
            if first & 0x0F != malformed.PING:
                joined += broken.data[at + head : at + head + size]
            at += head + size
        assert opcodes == [0x02, 0x89, 0x00, 0x00, 0x00, 0x80]
        whole = malformed.trailing(good, size=0, source=random.Random(0))
        assert joined == payload(whole)
        assert tokens(broken, KIND_FRESH) == [packet.token for packet in good]


def test_violations_of_the_websocket_protocol_log_nothing() -> None:
    good = packets(2)
    masked, reserved = malformed.masked(good), malformed.reserved_bits(good)
    assert masked.data[1] & 0x80 and reserved.data[0] == 0xC2
    assert malformed.reserved_opcode().data == b"\x83\x00"
    assert malformed.giant(2**63 - 1).data == b"\x82\x7f\x7f" + b"\xff" * 7
    assert malformed.empty().data == b"\x82\x00"
    assert malformed.pings(3).data.startswith(b"\x89\x04\0\0\0\0\x89")
    assert not masked.rows and not reserved.rows
    for kind in malformed.BAD_TEXTS:
        assert malformed.bad_text(kind).data[0] == 0x81
