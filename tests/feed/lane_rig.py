"""One connection's segments and a decoder on them, without processes or sockets.

The frames are encoded here, from the documented layout, and not with the project's own tables.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from ext.cells import Bell
from ext.lanes import Decoder, Lane
from ext.rings import FrameRingWriter
from pipeline.core import layout
from pipeline.core.enums import Mode, Reason, SegmentKind, State
from pipeline.shm import specs
from pipeline.shm.names import INSTANCE_BELL
from pipeline.shm.segment import Segment, SegmentSpec
from pipeline.shm.tables import AssignmentTable, assignment_rows, confirmed_rows

TOKENS = [256 * n + 1 for n in range(1, 201)]
INSTANCE_ID = bytes(16)
A_SECOND_NS = 1_000_000_000


def ltp_packet(token: int, price: int) -> bytes:
    return struct.pack(">HIi", 8, token, price)


def quote_packet(token: int, price: int, volume: int) -> bytes:
    numbers = [token, price, 1, price, volume, 10, 20, price, price + 5, price - 5, price]
    return struct.pack(">H11I", 44, *numbers)


def frame(packets: list[bytes]) -> bytes:
    return struct.pack(">H", len(packets)) + b"".join(packets)


#: Segments that a decoder has once, whatever the number of its connections.
OF_DECODER = {SegmentKind.LATEST, SegmentKind.BELL, SegmentKind.DECODER_STATUS}


class LaneRig:
    """Segments below `directory` (made or attached), their feed side and their reader's view.

    A rig `beside` another one is a further connection of the same decoder.
    """

    def __init__(
        self,
        directory: Path,
        *,
        attach: bool = False,
        frame_records: int = 4096,
        frame_bytes: int = 1 << 20,
        tick_records: int = 4096,
        connection: int = 0,
        beside: LaneRig | None = None,
    ) -> None:
        self.directory = directory
        self.connection = connection
        shapes = [
            specs.frames(connection, capacity=frame_records, area_bytes=frame_bytes),
            specs.ticks(connection, capacity=tick_records),
            specs.events(connection, capacity=1024),
            specs.assignment(connection, capacity=len(TOKENS)),
            specs.confirmed(connection, slots=len(TOKENS)),
        ]
        of_decoder = [
            specs.latest(0, slots=len(TOKENS)),
            specs.bell(0),
            specs.bell(),
            specs.decoder_status(0),
        ]
        if beside is None:
            shapes += of_decoder
        self.segments = {(s.kind, s.number): self._open(s, attach) for s in shapes}
        if beside is not None:
            self.segments |= {k: v for k, v in beside.segments.items() if k[0] in OF_DECODER}
        self.now = A_SECOND_NS  # long ago on any machine: what is sent counts as a backlog
        self.assignment = AssignmentTable(self.segment(SegmentKind.ASSIGNMENT))
        if not attach:
            self.assign(TOKENS)
        self.writer = FrameRingWriter(self.segment(SegmentKind.FRAMES).mapping)

    def _open(self, spec: SegmentSpec, attach: bool) -> Segment:
        path = self.directory / f"{spec.kind.name}.{spec.number}"
        if attach:
            return Segment.attach(path, spec.kind, writable=True)
        return Segment.create(path, spec, instance_id=INSTANCE_ID)

    def segment(self, kind: SegmentKind, number: int | None = None) -> Segment:
        if number is None:
            number = 0 if kind in OF_DECODER else self.connection
        return self.segments[kind, number]

    def assign(
        self, tokens: list[int], *, owner_epochs: list[int] | int = 1,
        left_mono_ns: list[int] | int = 0,
    ) -> None:  # fmt: skip
        slots = np.array([TOKENS.index(token) for token in tokens], np.uint32)
        rows = assignment_rows(np.array(tokens), np.full(len(tokens), Mode.QUOTE), 0)
        rows["slot"] = slots
        rows["owner_epoch"] = owner_epochs
        rows["left_mono_ns"] = left_mono_ns
        self.assignment.write(rows, changed_mono_ns=self.now)

    def decoder(self, **options: Any) -> tuple[Decoder, Lane]:
        mapping = {key: segment.mapping for key, segment in self.segments.items()}
        decoder = Decoder(
            mapping[SegmentKind.LATEST, 0],
            mapping[SegmentKind.BELL, 0],
            mapping[SegmentKind.BELL, INSTANCE_BELL],
            mapping[SegmentKind.DECODER_STATUS, 0],
            **{"gated": True, **options},
        )
        return decoder, self.add_lane(decoder)

    def add_lane(self, decoder: Decoder) -> Lane:
        """Open this connection's lane in a decoder."""
        return decoder.add_lane(
            self.connection,
            frames=self.segment(SegmentKind.FRAMES).mapping,
            ticks=self.segment(SegmentKind.TICKS).mapping,
            events=self.segment(SegmentKind.EVENTS).mapping,
            assignment=self.segment(SegmentKind.ASSIGNMENT).mapping,
            confirmed=self.segment(SegmentKind.CONFIRMED).mapping,
        )

    def reader_bell(self) -> Bell:
        """Return the bell that wakes readers."""
        return Bell(self.segment(SegmentKind.BELL, INSTANCE_BELL).mapping, layout.data_offset)

    def sleeper(self) -> None:
        """Say that a reader sleeps, so that the next unit rings."""
        self.reader_bell().arm()

    def send(self, message: bytes, *, epoch: int = 1) -> None:
        self.now += 1_000_000
        assert self.writer.append(
            message, connection_epoch=epoch, receive_ts_ns=self.now, receive_mono_ns=self.now
        )

    def state(self, state: State, reason: Reason, *, epoch: int = 1) -> None:
        self.now += 1_000_000
        self.writer.append_state(
            state, reason, connection_epoch=epoch, ts_ns=self.now, mono_ns=self.now
        )

    def _stream(
        self, kind: SegmentKind, struct_name: str, head: int, since: int = 0
    ) -> np.ndarray[Any, Any]:
        segment = self.segment(kind)
        control = segment.record("RingControlC")
        records = segment.records(struct_name, segment.capacity, head)
        first = max(int(control["oldest"]), since)
        places = [n % segment.capacity for n in range(first, int(control["tail"]))]
        return records[places].copy()

    def ticks(self, since: int = 1) -> np.ndarray[Any, Any]:
        """Return the published ticks, oldest first, from a sequence on."""
        cell = -(-layout.dtypes["CommitCellC"].itemsize // 64) * 64
        return self._stream(SegmentKind.TICKS, "TickC", 64 + cell, since)

    def events(self) -> np.ndarray[Any, Any]:
        """Return the published events, oldest first."""
        return self._stream(SegmentKind.EVENTS, "EventC", 64)

    def commit(self) -> np.ndarray[Any, Any]:
        """Return the current commit block."""
        cell = self.segment(SegmentKind.TICKS).record("CommitCellC", 64)
        return cell["copy"][int(cell["head"]["version"]) & 1].copy()

    def counters(self) -> dict[str, int]:
        counters = self.commit()["counters"]
        return {name: int(counters[name]) for name in counters.dtype.names}

    def latest(self, token: int) -> np.ndarray[Any, Any]:
        rows = self.segment(SegmentKind.LATEST).records("LatestSlotC", len(TOKENS))
        slot = rows[TOKENS.index(token)]
        return slot["copy"][int(slot["head"]["version"]) & 1]

    def confirmed(self) -> np.ndarray[Any, Any]:
        return confirmed_rows(self.segment(SegmentKind.CONFIRMED))

    def check_balance(self) -> None:
        """Every stage: in = out + dropped."""
        c = self.counters()
        assert c["frames_in"] == (
            c["frames_data"] + c["frames_heartbeat"] + c["frames_state"] + c["frames_overrun"]
            + c["frames_quarantined"]
        )  # fmt: skip
        assert c["packets_in"] == (
            c["ticks_out"] + c["packets_unknown_size"] + c["packets_unassigned"]
            + c["packets_unsubscribed"] + c["packets_repeated"] + c["packets_quarantined"]
        )  # fmt: skip
        assert c["frames_in"] == int(self.commit()["source_sequence"])
        assert c["ticks_out"] == int(self.commit()["tick_tail"]) - 1
