"""The decoder process: frame rings in, tick streams, event streams and the latest table out.

Floor 3. The work is `ext.lanes`; this is the body around it: attach, open each connection's lane
where the last decoder stopped, run, and end when everything is decoded. It never drops silently
and never waits for a reader.
"""

from __future__ import annotations

import logging
import signal
from typing import Final, NamedTuple

from ext.lanes import Decoder, Lane, arm_crash
from ext.mapping import Mapping
from pipeline.core.clock import NS_PER_MS, NS_PER_US, monotonic_ns
from pipeline.core.config import Config
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.core.exit_codes import ExitCode
from pipeline.core.plan import plan_topology
from pipeline.feed.crash_request import arm_requested_crash
from pipeline.shm.names import INSTANCE_BELL, InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment

_log = logging.getLogger(__name__)

#: How long the C loop runs before signals have their turn; longer while there is nothing to do.
SLICE_NS: Final = 50 * NS_PER_MS

#: In the checked build: where decoders are told at which crash point to die.
CRASH_REQUEST: Final = "crash"


class Quarantine(NamedTuple):
    """A frame that has killed decoders: its connection and its position in the frame ring."""

    connection: int
    source_sequence: int


def run_decoder(
    config: Config, paths: InstancePaths, number: int, skip: Quarantine | None = None
) -> int:
    """Be decoder `number` of the instance until SIGTERM, then decode what is left; return 0.

    `skip` names a frame to announce as quarantined; its bytes are kept in the instance's
    quarantine folder.
    """
    stop = _StopFlag()
    page = StatusPage(_attach(paths, SegmentKind.DECODER_STATUS, number))
    page.begin(Role.DECODER, number)
    arm_requested_crash(paths.directory / CRASH_REQUEST, arm_crash)
    decoder, lanes = open_decoder(config, paths, number)
    if skip is not None:
        quarantine(paths, lanes, skip)
    page.set_state(State.LIVE, Reason.STARTED)
    while not stop.requested:
        page.beat(monotonic_ns())
        decoder.run(SLICE_NS)
    page.set_state(State.DRAINING, Reason.SHUTDOWN)
    while decoder.has_work:
        page.beat(monotonic_ns())
        decoder.run(SLICE_NS, until_idle=True)
    page.set_state(State.CLOSED, Reason.DRAINED)
    return int(ExitCode.DONE)


class _StopFlag:
    """Set by SIGTERM; the C loop's waits end by themselves within a slice."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGTERM, self._set)

    def _set(self, *_: object) -> None:
        self.requested = True


def open_decoder(
    config: Config, paths: InstancePaths, number: int
) -> tuple[Decoder, dict[int, Lane]]:
    """Attach a decoder's segments and open the lanes of its connections, by number.

    What a dead predecessor had committed is published when this returns.
    """
    plan = plan_topology(config).decoders[number]
    decoder = Decoder(
        _map(paths, SegmentKind.LATEST, number),
        _map(paths, SegmentKind.BELL, number),
        _map(paths, SegmentKind.BELL, INSTANCE_BELL),
        _map(paths, SegmentKind.DECODER_STATUS, number),
        spin_ns=config.decoder.spin_us * NS_PER_US,
        catch_up_age_ns=config.decoder.catch_up_age_ms * NS_PER_MS,
        catch_up_ticks=config.decoder.catch_up_ticks,
        catch_up_interval_ns=config.decoder.catch_up_interval_ms * NS_PER_MS,
        gated=config.simulator is not None and bool(config.simulator.gate),
    )
    lanes = {
        connection: decoder.add_lane(
            connection,
            frames=_map(paths, SegmentKind.FRAMES, connection, writable=False),
            ticks=_map(paths, SegmentKind.TICKS, connection),
            events=_map(paths, SegmentKind.EVENTS, connection),
            assignment=_map(paths, SegmentKind.ASSIGNMENT, connection, writable=False),
            confirmed=_map(paths, SegmentKind.CONFIRMED, connection),
        )
        for connection in plan.connections
    }
    return decoder, lanes


def _attach(paths: InstancePaths, kind: SegmentKind, number: int) -> Segment:
    return Segment.attach(paths.segment(kind, number), kind, writable=True)


def _map(paths: InstancePaths, kind: SegmentKind, number: int, *, writable: bool = True) -> Mapping:
    segment = Segment.attach(paths.segment(kind, number), kind, writable=writable)
    if writable and kind is not SegmentKind.BELL:
        segment.claim(Role.DECODER)
    return segment.mapping


def quarantine(paths: InstancePaths, lanes: dict[int, Lane], skip: Quarantine) -> None:
    """Keep a frame aside and have its lane skip it, if the lane still stands before it."""
    lane = lanes.get(skip.connection)
    if lane is None or lane.source_sequence != skip.source_sequence:
        return  # the predecessor got past it after all
    frame = lane.frame()
    if frame is not None:
        path = paths.quarantine / f"c{skip.connection}-{skip.source_sequence}.frame"
        try:
            path.write_bytes(frame)
        except OSError as error:
            # Skipped all the same: a full disk must not make it kill the next decoder, too.
            _log.error("a frame that kills decoders is not kept in %s: %s", path, error.strerror)
    lane.skip(skip.source_sequence)
