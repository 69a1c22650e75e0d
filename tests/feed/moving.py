"""Two connections of one decoder that share an instrument, beside the model of what must come out.

A script is a list of steps; each is done to the segments and to the model, and after each run the
two are compared: streams, latest and confirmed tables, counters.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ext.lanes import Decoder
from pipeline.brokers.handover import LINGER_NS
from tests.brokers import kite_frames as make
from tests.feed.lane_rig import TOKENS, LaneRig, frame
from tests.feed.move_model import DecoderModel, LaneModel, fields
from tests.feed.test_decoder_crashes import DECODE_AND_DIE

A_MS_NS = 1_000_000
OPENED = "    rig = LaneRig(Path(directory), attach=True)\n"
#: As of one connection, but that a second lane is opened, too.
BOTH = """    rig = LaneRig(Path(directory), attach=True)
    beside = LaneRig(rig.directory, attach=True, connection=1, beside=rig)
    of_one = rig.decoder
    def of_both():
        decoder, lane = of_one()
        beside.add_lane(decoder)
        return decoder, lane
    rig.decoder = of_both
"""
MOVE_AND_DIE = DECODE_AND_DIE.replace(OPENED, BOTH)
KINDS = ("full", "quote", "ltp", "index", "index full")


class Content(NamedTuple):
    """What a packet says; small numbers, so that much is equal."""

    kind: str
    time: int = 0
    volume: int = 0
    trade_time: int = 0
    price: int = 0
    book: int = 0
    token: int = 0


def packet(content: Content) -> bytes:
    """Encode a packet with its length before it."""
    kind, time, volume, trade_time, price, book, token = content
    last, number = 10_000 + price, TOKENS[token]
    prices = {"last": last, "open_": 10_000, "high": 10_900, "low": 9_900, "close": 9_950}
    traded = {"volume": volume, "average": 10_000, "buy": 100 + price, **prices}
    if kind == "ltp":
        body = make.ltp(number, last)
    elif kind.startswith("index"):
        body = make.index(number, **prices, time=time if kind == "index full" else None)
    elif kind == "quote":
        body = make.quote(number, **traded)
    else:
        bids = ((5 + book, last - 5, 1 + book), *make.BIDS[1:])
        times = {"time": time, "trade_time": trade_time}
        body = make.full(number, bids=bids, **times, **traded)
    return struct.pack(">H", len(body)) + body


class Move:
    """Two rigs and the model; connection 0 begins with all instruments, connection 1 with none."""

    def __init__(self, directory: Path, *, tokens: int = 2) -> None:
        first = LaneRig(directory, frame_records=1024, frame_bytes=1 << 18, tick_records=1024)
        second = LaneRig(
            directory, frame_records=1024, frame_bytes=1 << 18, tick_records=1024, connection=1,
            beside=first,
        )  # fmt: skip
        self.rigs = (first, second)
        self.model = DecoderModel(2)
        self.tokens = range(tokens)
        self.now = first.now
        self.epochs = [1, 1]
        self.owner_epoch = 1
        self.assigned_at: dict[tuple[int, int], int] = {}
        self.owned: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for token in self.tokens:
            self.assign(0, token)
        self.assign(1, None)
        self.decoder = self.open()

    # ---- steps ---------------------------------------------------------------------------------

    def assign(self, connection: int, token: int | None) -> None:
        """Give a connection one more instrument, under an owner epoch of its own."""
        self.owner_epoch += 1
        if token is not None:
            self.owned[connection][TOKENS[token]] = self.owner_epoch
            self.assigned_at[connection, token] = self.now + A_MS_NS
        self._write(connection)

    def unassign(self, connection: int, token: int) -> None:
        self.owned[connection].pop(TOKENS[token], None)
        self._write(connection)

    def _write(self, connection: int) -> None:
        rig, owned = self.rigs[connection], self.owned[connection]
        rig.now = self.now = self.now + A_MS_NS
        rig.assign(list(owned), owner_epochs=list(owned.values()))
        self.model.lanes[connection].write(self.now, dict(owned))

    def send(self, connection: int, *contents: Content) -> None:
        """Put one frame of packets into a connection's ring."""
        epoch = self.epochs[connection]
        self.rigs[connection].now = self.now
        self.rigs[connection].send(self.frame(*contents), epoch=epoch)
        self.now += A_MS_NS
        self.model.send(connection, tuple(map(packet, contents)), epoch, self.now)

    @staticmethod
    def frame(*contents: Content) -> bytes:
        return frame([packet(content) for content in contents])

    def wait(self) -> None:
        """Let so much time pass that nothing lingers any more."""
        self.now += LINGER_NS + A_MS_NS

    def reconnect(self, connection: int) -> None:
        self.epochs[connection] += 1

    def open(self) -> Decoder:
        """Open a decoder, as the successor of the last one."""
        self.decoder = self.rigs[0].decoder()[0]
        self.rigs[1].add_lane(self.decoder)
        return self.decoder

    def run(self) -> None:
        """Decode all there is, and compare."""
        self.decoder.run(10**9, until_idle=True)
        self.model.run()
        self.check()

    def die(self) -> None:
        """Let a successor take over in this process."""
        self.open()
        self.model.die()

    def run_and_die(self, die: Callable[[], int]) -> int:
        """Let another process take over, decode and die by `die`; return what that returns."""
        self.model.die()
        code = die()
        for rig, lane in zip(self.rigs, self.model.lanes, strict=True):
            self.model.run_lane(lane, int(rig.commit()["source_sequence"]))
        return code

    # ---- what came out -------------------------------------------------------------------------

    def check(self) -> None:
        for rig, lane in zip(self.rigs, self.model.lanes, strict=True):
            if lane.sent:
                rig.check_balance()
            self._check_stream(rig, lane)
            for token in self.tokens:
                row = rig.confirmed()[token]
                expected = lane.confirmed.get(TOKENS[token])
                if expected is not None:
                    assert tuple(int(row[name]) for name in expected._fields) == expected
                else:
                    assert int(row["instrument_token"]) == 0
        for token in self.tokens:
            found = self.rigs[0].latest(TOKENS[token])
            newest = self.model.latest.get(TOKENS[token])
            if newest is None:
                assert int(found["sequence"]) == 0
            else:
                assert fields(found) == fields(newest)

    def _check_stream(self, rig: LaneRig, lane: LaneModel) -> None:
        ticks = rig.ticks()
        assert len(ticks) == len(lane.ticks)
        for tick, expected in zip(ticks, lane.ticks, strict=True):
            assert fields(tick) == fields(expected)
        counters = rig.counters()
        assert counters["packets_repeated"] == lane.repeated
        assert counters["packets_unassigned"] + counters["packets_unsubscribed"] == lane.unassigned
