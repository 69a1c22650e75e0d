"""A decoder of several connections as it must be, in plain Python: what becomes of each packet.

The rule for shared instruments is the twin's (`pipeline/brokers/handover.py`); here is the rest of
the life of an instrument that moves: assignments, deaths, the latest and the confirmed table.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from pipeline.brokers.handover import LINGER_NS, Novelty, Order, Overlap, is_before, order_of
from pipeline.brokers.kite.wire import decode_frame
from pipeline.brokers.tick_flags import Carries, base_flags, base_of
from pipeline.core.enums import Mode, TickFlag
from tests.feed.lane_rig import frame

UNITS_IN_TURN = 16  # of a lane, before the next one has its turn; each frame here is one unit


class Message(NamedTuple):
    """A frame in a connection's ring: packets with their lengths, and its stamps."""

    packets: tuple[bytes, ...]
    epoch: int
    now: int
    sequence: int


class Confirmed(NamedTuple):
    """A row of the confirmed table."""

    first_packet_mono_ns: int
    instrument_token: int
    connection_epoch: int
    mode: int


class LaneModel:
    """One connection: its ring, its stream, its tables."""

    def __init__(self, connection: int) -> None:
        self.connection = connection
        self.ring: list[Message] = []
        self.sent = 0
        self.written: tuple[int, dict[int, int]] = (0, {})  # (when, {token: owner epoch})
        self.written_since: dict[int, int] = {}
        self.assigned: dict[int, int] = {}
        self.assigned_at = 0  # when its table was written that it knows
        self.since: dict[int, int] = {}  # {token: when it was assigned}
        self.ticks: list[Any] = []
        self.repeated = 0
        self.unassigned = 0
        self.confirmed: dict[int, Confirmed] = {}
        self.certain: set[int] = set()  # tokens whose row is of their present assignment

    def write(self, at: int, rows: dict[int, int]) -> None:
        """Have other rows assigned; what keeps its owner epoch keeps its time."""
        before, since = self.written[1], self.written_since
        self.written_since = {t: since[t] if before.get(t) == e else at for t, e in rows.items()}
        self.written = (at, rows)

    def follow(self) -> set[int] | None:
        """Look at the assignment; return what it has anew, None if it has not changed."""
        at, rows = self.written
        if self.assigned == rows and self.assigned_at == at:
            return None
        anew = {t for t, owner_epoch in rows.items() if self.assigned.get(t) != owner_epoch}
        self.certain -= anew
        self.assigned, self.assigned_at, self.since = rows, at, self.written_since
        return anew

    def confirm(self, tick: Any) -> None:
        token = int(tick["instrument_token"])
        row = Confirmed(
            int(tick["receive_mono_ns"]), token, int(tick["connection_epoch"]), int(tick["mode"])
        )
        if row.first_packet_mono_ns < self.since[token]:
            return
        if token in self.certain:
            first = self.confirmed[token].first_packet_mono_ns
            row = row._replace(first_packet_mono_ns=first)
        self.confirmed[token] = row
        self.certain.add(token)

    def first_packet(self, token: int) -> int | None:
        """Return when the first packet came since the token was assigned."""
        return self.confirmed[token].first_packet_mono_ns if token in self.certain else None


class DecoderModel:
    """All lanes, the latest table, and what is remembered of shared instruments."""

    def __init__(self, connections: int) -> None:
        self.lanes = [LaneModel(n) for n in range(connections)]
        self.latest: dict[int, Any] = {}
        self.overlaps: dict[int, Overlap] = {}
        self.lingering: dict[int, int] = {}  # {token: until when}, of those that one has left

    # ---- what happens to it --------------------------------------------------------------------

    def send(self, connection: int, packets: tuple[bytes, ...], epoch: int, now: int) -> None:
        lane = self.lanes[connection]
        lane.ring.append(Message(packets, epoch, now, lane.sent))
        lane.sent += 1

    def run(self) -> None:
        """Decode all that is in the rings."""
        while any(lane.ring for lane in self.lanes):
            for lane in self.lanes:
                for _ in range(min(UNITS_IN_TURN, len(lane.ring))):
                    self._follow(lane)
                    self._decode(lane, lane.ring.pop(0))
                if not lane.ring:
                    self._follow(lane)
        for lane in self.lanes:
            self._follow(lane)

    def run_lane(self, lane: LaneModel, sequence: int) -> None:
        """Decode what is in one ring, up to a sequence."""
        while lane.ring and lane.ring[0].sequence < sequence:
            self._follow(lane)
            self._decode(lane, lane.ring.pop(0))

    def die(self) -> None:
        """Let a successor open the lanes, one after the other."""
        for lane in self.lanes:
            lane.assigned = {}
        self.overlaps, self.lingering = {}, {}
        for lane in self.lanes:
            lane.follow()
            rows = lane.confirmed.items()
            lane.certain = {
                t for t, r in rows if t in lane.assigned and r.first_packet_mono_ns >= lane.since[t]
            }
        self._share(0)
        self._recall_lingering()

    # ---- assignments ---------------------------------------------------------------------------

    def _follow(self, lane: LaneModel) -> None:
        anew = lane.follow()
        if anew is None:
            return
        for token in anew & self.overlaps.keys():
            self.overlaps[token].since.pop(lane.connection, None)
        self._share(lane.assigned_at)

    def _share(self, let_go_at: int) -> None:
        holders = [token for lane in self.lanes for token in lane.assigned]
        shared = {token for token in holders if holders.count(token) > 1}
        for token in self.overlaps.keys() - shared:
            if token in holders:
                self.lingering.setdefault(token, let_go_at + LINGER_NS)
            else:
                self._forget(token)
        for token in shared:
            self.lingering.pop(token, None)
            if token not in self.overlaps:
                self.overlaps[token] = self._recall(token)

    def _forget(self, token: int) -> None:
        del self.overlaps[token]
        self.lingering.pop(token, None)

    def _recall_lingering(self) -> None:
        """Find what others have let go of after the first packet of the one that has it."""
        for lane in self.lanes:
            for token in lane.assigned:
                first, newest = lane.first_packet(token), self.latest.get(token)
                if token in self.overlaps or first is None:
                    continue
                others = [other for other in self.lanes if other is not lane]
                times = [other.assigned_at for other in others if token in other.confirmed]
                if newest is not None and int(newest["connection"]) != lane.connection:
                    times.append(int(newest["receive_mono_ns"]))
                times = [time for time in times if time >= first]
                if times:
                    self.lingering[token] = max(times) + LINGER_NS
                    self.overlaps[token] = self._recall(token, with_retired=True)

    def _recall(self, token: int, *, with_retired: bool = False) -> Overlap:
        overlap, newest = Overlap(), self.latest.get(token)
        found: list[tuple[int, Any, Confirmed | None]] = []
        for lane in self.lanes:
            retired = with_retired and token in lane.confirmed and token not in lane.assigned
            if token not in lane.assigned and not retired:
                continue
            row = lane.confirmed[token] if retired or token in lane.certain else None
            ticks = [tick for tick in lane.ticks if int(tick["instrument_token"]) == token]
            found += [(int(tick["receive_mono_ns"]), tick, row) for tick in ticks]
        for _, tick, row in sorted(found, key=itemgetter(0)):
            _recall_tick(overlap, tick, newest, row)
        if newest is not None:
            if order_of(newest) != Order():
                overlap.remember(newest)
            lane = self.lanes[int(newest["connection"])]
            assigned_at = lane.since.get(token, 0) if token in lane.assigned else 0
            of_earlier = int(newest["receive_mono_ns"]) < assigned_at
            if lane.connection not in overlap.since and not of_earlier:
                overlap.begin(newest, Order())
        return overlap

    # ---- packets -------------------------------------------------------------------------------

    def _decode(self, lane: LaneModel, message: Message) -> None:
        """Take a frame, which is one unit; what it repeats is confirmed before what it delivers."""
        sightings: list[Any] = []
        delivered: list[Any] = []
        for index, packet in enumerate(message.packets):
            stamps = {
                "receive_ts_ns": message.now, "receive_mono_ns": message.now,
                "source_sequence": message.sequence, "connection": lane.connection,
                "connection_epoch": message.epoch, "first_sequence": len(lane.ticks) + 1,
            }  # fmt: skip
            tick = decode_frame(frame([packet]), **stamps)
            tick["packet_index"] = index
            if int(tick["instrument_token"][0]) in lane.assigned:
                into_table = self._take(lane, tick) is Novelty.NEWS
                (delivered if into_table else sightings).append(tick[0])
            else:
                lane.unassigned += 1
        for tick in (*sightings, *delivered):
            lane.confirm(tick)

    def _take(self, lane: LaneModel, ticks: Any) -> Novelty:
        tick = ticks[0]
        token = int(tick["instrument_token"])
        last = self.latest.get(token)
        other = last is not None and int(last["connection"]) != lane.connection
        novelty = Novelty.NEWS
        flags = TickFlag.HANDOVER if other else TickFlag(0)
        until = self.lingering.get(token)
        if until is not None and (last is None or int(tick["receive_mono_ns"]) > until):
            self._forget(token)
        elif until is not None and order_of(tick) == Order():
            pass  # nobody else would deliver it, if it were news
        elif token in self.overlaps:
            novelty, flags = self.overlaps[token].take(tick, last if other else None)
        if novelty is Novelty.REPEATED:
            lane.repeated += 1
            return novelty
        ticks["flags"] |= np.uint32(flags)
        if novelty is Novelty.NEWS:
            if last is not None:
                doubts = base_flags(_fields(tick), base_of(_fields(last)), _carries(tick))
                ticks["flags"] |= np.uint32(doubts)
            self.latest[token] = ticks[0]
        lane.ticks.append(ticks[0])
        return novelty


def _recall_tick(overlap: Overlap, tick: Any, newest: Any, row: Confirmed | None) -> None:
    order, connection = order_of(tick), int(tick["connection"])
    if (
        row is not None
        and int(tick["receive_mono_ns"]) >= row.first_packet_mono_ns
        and overlap.since.get(connection, (None,))[0] != int(tick["connection_epoch"])
    ):
        overlap.begin(tick, order)
    is_first = connection in overlap.since and not is_before(overlap.since[connection][1], order)
    if order != Order() and (is_first or not is_before(order, order_of(newest))):
        overlap.remember(tick)


def _fields(tick: Any) -> dict[str, Any]:
    return {name: tick[name] for name in tick.dtype.names}


def _carries(tick: Any) -> Carries:
    carries = Carries.NOTHING
    if order_of(tick).volume_traded is not None:
        carries |= Carries.VOLUME
    if int(tick["mode"]) == Mode.FULL:
        carries |= Carries.EXCHANGE_TIME
    return carries


def fields(records: Any) -> dict[str, Any]:
    """Return every field's values, without the padding, which numpy does not copy."""
    return {name: np.asarray(records[name]).tolist() for name in records.dtype.names}
