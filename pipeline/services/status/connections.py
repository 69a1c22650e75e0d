"""Connections: feed, rings, instruments, and whether every stage's account balances. Floor 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from pipeline.core import layout
from pipeline.core.clock import NS_PER_S, real_ns
from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.services.status.model import Balance, Connection, Instruments, Ring
from pipeline.services.status.pages import age_s, attach, counters, text
from pipeline.shm.identity import is_alive
from pipeline.shm.instance import ManifestEntry
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import FIRST_TICK_SEQUENCE, Segment
from pipeline.shm.tables import AssignmentTable, WireTable, commit_cell, confirmed_rows

Record = np.ndarray[Any, Any]

#: How often the counters of a living feed are read until their sum holds.
_READS: Final = 20

#: Which counters are a stage's output and its losses; what came in is their sum.
FEED_OUT: Final = ("frames_out", "orders_out", "text_out", "messages_own")
FRAMES_OUT: Final = ("frames_data", "frames_heartbeat", "frames_state")
FRAMES_DROPPED: Final = ("frames_overrun", "frames_quarantined")
PACKETS_DROPPED: Final = (
    "packets_unknown_size",
    "packets_unassigned",
    "packets_unsubscribed",
    "packets_repeated",
    "packets_quarantined",
)


def read_connections(
    paths: InstancePaths, manifest: tuple[ManifestEntry, ...], slowest: Mapping[int, int],
    now_mono_ns: int,
) -> list[Connection]:  # fmt: skip
    """Return the connections of the manifest by number; `slowest` are the readers' cursors."""
    entries = {e.number: e for e in manifest if e.kind is SegmentKind.FEED_STATUS}
    return [
        _connection(paths, entry, slowest.get(number), now_mono_ns)
        for number, entry in sorted(entries.items())
    ]


def _connection(
    paths: InstancePaths, entry: ManifestEntry, slowest: int | None, now: int
) -> Connection:
    number = entry.number
    feed, feed_balance = _feed(attach(paths, SegmentKind.FEED_STATUS, number))
    ticks = attach(paths, SegmentKind.TICKS, number)
    commit = _commit(ticks)
    head, epoch = feed["head"], int(feed["connection_epoch"])
    since_ts_ns = int(head["state_since_ts_ns"])
    tick_tail = int(ticks.record("RingControlC")["tail"])
    return Connection(
        number=number,
        broker=entry.broker.name.lower(),
        account=text(feed["account"]),
        owner=text(feed["owner"]),
        decoder=entry.decoder,
        state=State(int(head["state"])).name,
        reason=Reason(int(head["reason"])).name,
        since_ts_ns=since_ts_ns,
        since_s=max(0, real_ns() - since_ts_ns) / NS_PER_S if since_ts_ns else 0.0,
        connection_epoch=epoch,
        feed_pid=int(head["pid"]),
        feed_alive=is_alive(int(head["pid"]), int(head["start_time"])),
        heartbeat_age_s=age_s(int(head["heartbeat_mono_ns"]), now),
        last_byte_age_s=age_s(int(feed["last_byte_mono_ns"]), now),
        last_data_age_s=age_s(int(feed["last_data_mono_ns"]), now),
        instruments=_instruments(paths, number, epoch),
        frames=_frame_ring(attach(paths, SegmentKind.FRAMES, number), commit),
        ticks=_ring(ticks.capacity, tick_tail, tick_tail if slowest is None else slowest),
        events_tail=int(commit["event_tail"]),
        feed_counters=counters(feed),
        decode_counters=counters(commit["counters"]),
        balances=[feed_balance, *decode_balances(commit)],
    )


def _feed(segment: Segment) -> tuple[Record, Balance]:
    """Copy a feed's page; while it counts, until its sums hold or it is clear that they do not."""
    for _ in range(_READS):
        record = segment.record("FeedStatusC").copy()
        balance = feed_balance(record)
        if balance.difference == 0:
            break
    return record, balance


def feed_balance(feed: Record) -> Balance:
    """Return a feed's account of the messages that it received."""
    return _balance("feed messages", feed, "messages_in", FEED_OUT, ("messages_dropped",))


def decode_balances(commit: Record) -> list[Balance]:
    """Return a decoder's accounts of one connection's frames, packets and ticks."""
    found = commit["counters"]
    published = int(commit["tick_tail"]) - FIRST_TICK_SEQUENCE if commit["tick_tail"] else 0
    ticks = int(found["ticks_out"])
    return [
        _balance("decoder frames", found, "frames_in", FRAMES_OUT, FRAMES_DROPPED),
        _balance("decoder packets", found, "packets_in", ("ticks_out",), PACKETS_DROPPED),
        Balance(stage="tick stream", came_in=ticks, went_out=published, dropped=0,
                difference=ticks - published),
    ]  # fmt: skip


def _balance(
    stage: str, record: Record, came: str, out: tuple[str, ...], dropped: tuple[str, ...]
) -> Balance:
    came_in = int(record[came])
    went_out = sum(int(record[name]) for name in out)
    lost = sum(int(record[name]) for name in dropped)
    return Balance(
        stage=stage, came_in=came_in, went_out=went_out, dropped=lost,
        difference=came_in - went_out - lost,
    )  # fmt: skip


def _commit(ticks: Segment) -> Record:
    value = np.zeros((), layout.dtypes["CommitC"])
    cell = commit_cell(ticks)
    if cell.version:
        cell.read_into(value.reshape(1).view(np.uint8))
    return value


def _frame_ring(segment: Segment, commit: Record) -> Ring:
    return _ring(
        segment.capacity,
        int(segment.record("RingControlC")["tail"]),
        int(commit["source_sequence"]),
    )


def _ring(capacity: int, tail: int, cursor: int) -> Ring:
    behind = min(max(0, tail - cursor), capacity)
    return Ring(
        capacity=capacity, tail=tail, behind=behind, fill_percent=round(100 * behind / capacity, 2)
    )


def _instruments(paths: InstancePaths, number: int, epoch: int) -> Instruments:
    assigned = AssignmentTable(attach(paths, SegmentKind.ASSIGNMENT, number)).read()[1]
    _, wire_epoch, wire = WireTable(attach(paths, SegmentKind.WIRE, number)).read_with_epoch()
    rows = confirmed_rows(attach(paths, SegmentKind.CONFIRMED, number))
    placed = assigned[assigned["slot"] < len(rows)]
    mine = rows[placed["slot"]]
    seen = mine["instrument_token"] == placed["instrument_token"]
    confirmed = seen & (mine["connection_epoch"] == epoch)
    return Instruments(
        assigned=len(assigned),
        wire=len(wire) if wire_epoch == epoch else 0,
        confirmed=int(np.count_nonzero(confirmed)),
        seen=int(np.count_nonzero(seen)),
    )
