"""The shared memory of one feed, attached. Floor 3.

A feed writes its frame, order and text rings, its wire table and its status page, and a word of
its account's page; it reads its assignment and what its decoder has confirmed. A successor finds
all of it where it was left.
"""

from __future__ import annotations

from typing import Final

from ext.cells import Bell
from ext.rings import FrameRingWriter
from pipeline.core import layout
from pipeline.core.enums import Mode, Role, SegmentKind
from pipeline.core.plan import ConnectionPlan
from pipeline.shm.names import INSTANCE_BELL, InstancePaths
from pipeline.shm.pages import AccountPage, StatusPage
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable, WireTable, confirmed_rows, other_modes


class FeedSegments:
    """Everything that is shared with others, by role."""

    def __init__(self, paths: InstancePaths, plan: ConnectionPlan) -> None:
        self._paths = paths
        number = plan.number
        self.page = StatusPage(self._attach(SegmentKind.FEED_STATUS, number))
        self.frames = FrameRingWriter(self._claim(SegmentKind.FRAMES, number).mapping)
        self.orders = FrameRingWriter(self._claim(SegmentKind.ORDERS, number).mapping)
        self.text = FrameRingWriter(self._claim(SegmentKind.TEXT, number).mapping)
        self.wire = WireTable(self._claim(SegmentKind.WIRE, number))
        self.account = AccountPage(self._attach(SegmentKind.ACCOUNT, plan.account_number))
        self.decoder_bell: Final = self._bell(plan.decoder)
        self.instance_bell: Final = self._bell(INSTANCE_BELL)
        self.assignment = AssignmentTable(self._read(SegmentKind.ASSIGNMENT, number))
        self._confirmed = confirmed_rows(self._read(SegmentKind.CONFIRMED, number))

    @property
    def status_buffer(self) -> memoryview:
        """The status page's struct as bytes, for the frame reader to count in."""
        return memoryview(self.page.segment.mapping)[layout.data_offset :]

    @property
    def last_epoch(self) -> int:
        """The newest connection epoch that any feed of this connection has used."""
        return max(int(self.page.record["connection_epoch"]), self.frames.last_epoch())

    def other_modes(self, connection_epoch: int) -> dict[int, Mode]:
        """Return {token: wanted mode} of what the decoder sees arrive in another mode."""
        _, rows = self.assignment.read()
        return other_modes(rows, self._confirmed, connection_epoch=connection_epoch)

    def _read(self, kind: SegmentKind, number: int) -> Segment:
        return Segment.attach(self._paths.segment(kind, number), kind)

    def _attach(self, kind: SegmentKind, number: int) -> Segment:
        return Segment.attach(self._paths.segment(kind, number), kind, writable=True)

    def _claim(self, kind: SegmentKind, number: int) -> Segment:
        segment = self._attach(kind, number)
        segment.claim(Role.FEED)
        return segment

    def _bell(self, number: int) -> Bell:
        return Bell(self._attach(SegmentKind.BELL, number).mapping, layout.data_offset)
