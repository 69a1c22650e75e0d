"""One connection's segments at their default sizes, with a feed's, a decoder's and a reader's end.

No processes and no sockets: what is measured on this is the work between them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.frames import tokens
from ext.lanes import Decoder
from ext.rings import FrameRingWriter
from ext.streams import StreamReader
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.enums import Mode, SegmentKind
from pipeline.shm import specs
from pipeline.shm.names import INSTANCE_BELL
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable, assignment_rows

INSTRUMENTS: Final = 3000
#: 4 s of 3,000 instruments at 2 packets/s: the plan's default for one connection.
FRAME_BYTES: Final = 4 * 6000 * 192
FRAME_RECORDS: Final = 4 * 6000
TICK_RECORDS: Final = 16_384
EVENT_RECORDS: Final = 4096


class Connection:
    """Segments of one connection below a folder, and makers for whoever works on them."""

    def __init__(
        self, folder: Path, *, tick_records: int = TICK_RECORDS, instruments: int = INSTRUMENTS
    ) -> None:
        shapes = [
            specs.frames(0, capacity=FRAME_RECORDS, area_bytes=FRAME_BYTES),
            specs.ticks(0, capacity=tick_records),
            specs.events(0, capacity=EVENT_RECORDS),
            specs.assignment(0, capacity=instruments),
            specs.confirmed(0, slots=instruments),
            specs.latest(0, slots=instruments),
            specs.bell(0),
            specs.bell(),
            specs.decoder_status(0),
        ]
        self.segments = {
            (shape.kind, shape.number): Segment.create(
                folder / f"{shape.kind.name}.{shape.number}", shape, instance_id=bytes(16)
            )
            for shape in shapes
        }
        rows = assignment_rows(tokens(instruments), np.full(instruments, Mode.FULL), 0)
        rows["slot"] = np.arange(instruments)
        AssignmentTable(self.segments[SegmentKind.ASSIGNMENT, 0]).write(rows)
        self.writer = FrameRingWriter(self.mapping(SegmentKind.FRAMES))

    def mapping(self, kind: SegmentKind, number: int = 0):  # type: ignore[no-untyped-def]
        """Return a segment's memory."""
        return self.segments[kind, number].mapping

    def decoder(self) -> Decoder:
        """Return a decoder with this connection's `lane`, never pausing for readers."""
        decoder = Decoder(
            self.mapping(SegmentKind.LATEST),
            self.mapping(SegmentKind.BELL),
            self.mapping(SegmentKind.BELL, INSTANCE_BELL),
            self.mapping(SegmentKind.DECODER_STATUS),
            gated=True,
        )
        self.lane = decoder.add_lane(
            0,
            frames=self.mapping(SegmentKind.FRAMES),
            ticks=self.mapping(SegmentKind.TICKS),
            events=self.mapping(SegmentKind.EVENTS),
            assignment=self.mapping(SegmentKind.ASSIGNMENT),
            confirmed=self.mapping(SegmentKind.CONFIRMED),
        )
        return decoder

    def reader(self, buffer_ticks: int) -> StreamReader:
        """Return a reader of this connection that begins with the next tick."""
        target = np.zeros(buffer_ticks, layout.tick_dtype)
        reader = StreamReader(target, self.mapping(SegmentKind.BELL, INSTANCE_BELL))
        reader.add(0, self.mapping(SegmentKind.TICKS), self.mapping(SegmentKind.EVENTS))
        return reader

    def continue_writing(self) -> None:
        """Write from now on behind what a predecessor has written."""
        self.writer = FrameRingWriter(self.mapping(SegmentKind.FRAMES))

    def send(self, messages: list[bytes]) -> None:
        """Put messages into the frame ring, as a feed does."""
        for message in messages:
            if not self.writer.append(
                message, connection_epoch=1, receive_ts_ns=real_ns(), receive_mono_ns=monotonic_ns()
            ):
                raise ValueError(f"a message of {len(message)} bytes is too long for the ring")
