"""What the supervisor does in the name of a feed that is dead and reaped. Floor 5.

A feed that dies cannot say that its connection is interrupted, so its heir appends the state
change to the frame ring, rings the decoder's bell, and only then may a successor write there.
"""

from __future__ import annotations

from ext.cells import Bell
from ext.rings import FrameRingWriter
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment


def announce(
    paths: InstancePaths,
    state: State,
    reason: Reason,
    *,
    connection: int,
    decoder: int,
    connection_epoch: int,
    exit_code: int,
) -> None:
    """Append a state change to a connection's frame ring and wake its decoder.

    `connection_epoch` is the dead feed's, as its page has it; `exit_code` minus the signal.
    """
    frames = Segment.attach(
        paths.segment(SegmentKind.FRAMES, connection), SegmentKind.FRAMES, writable=True
    )
    writer = FrameRingWriter(frames.mapping)
    writer.append_state(
        state,
        reason,
        detail=exit_code,
        connection_epoch=max(connection_epoch, writer.last_epoch()),
        ts_ns=real_ns(),
        mono_ns=monotonic_ns(),
    )
    path = paths.segment(SegmentKind.BELL, decoder)
    bell = Segment.attach(path, SegmentKind.BELL, writable=True)
    Bell(bell.mapping, layout.data_offset).ring()
