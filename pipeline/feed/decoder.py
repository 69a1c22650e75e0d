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
from pipeline.feed.crash_request import arm_requested_crash
from pipeline.shm.instance import InstanceView
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
    decoder = open_decoder(config, paths, number)
    lanes = Lanes(decoder, paths, number, page)
    lanes.follow()
    if skip is not None:
        quarantine(paths, lanes.by_connection, skip)
    page.set_state(State.LIVE, Reason.STARTED)
    while not stop.requested:
        page.beat(monotonic_ns())
        decoder.run(SLICE_NS)
        lanes.follow()
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


def open_decoder(config: Config, paths: InstancePaths, number: int) -> Decoder:
    """Attach the segments of a decoder; it has no lane yet."""
    return Decoder(
        _map(paths, SegmentKind.LATEST, number),
        _map(paths, SegmentKind.BELL, number),
        _map(paths, SegmentKind.BELL, INSTANCE_BELL),
        _map(paths, SegmentKind.DECODER_STATUS, number),
        spin_ns=config.decoder.spin_us * NS_PER_US,
        nap_ns=config.decoder.nap_us * NS_PER_US,
        catch_up_age_ns=config.decoder.catch_up_age_ms * NS_PER_MS,
        catch_up_ticks=config.decoder.catch_up_ticks,
        catch_up_interval_ns=config.decoder.catch_up_interval_ms * NS_PER_MS,
        gated=config.simulator is not None and bool(config.simulator.gate),
        raw_only=config.decoder.raw_only,
    )


def open_lane(decoder: Decoder, paths: InstancePaths, connection: int) -> Lane:
    """Open a connection's lane where its last decoder stopped, and return it.

    What a dead predecessor had committed is published when this returns.
    """
    return decoder.add_lane(
        connection,
        frames=_map(paths, SegmentKind.FRAMES, connection, writable=False),
        ticks=_map(paths, SegmentKind.TICKS, connection),
        events=_map(paths, SegmentKind.EVENTS, connection),
        assignment=_map(paths, SegmentKind.ASSIGNMENT, connection, writable=False),
        confirmed=_map(paths, SegmentKind.CONFIRMED, connection),
    )


class Lanes:
    """A decoder's lanes, in step with the manifest: `by_connection`, by the connection's number."""

    def __init__(
        self, decoder: Decoder, paths: InstancePaths, number: int, page: StatusPage
    ) -> None:
        self.by_connection: dict[int, Lane] = {}
        self._decoder = decoder
        self._paths = paths
        self._number = number
        self._page = page
        self._instance = InstanceView(paths)
        self._version = -1

    def follow(self) -> None:
        """Open the lanes of connections that came, let go of those that left the manifest.

        The page then shows the manifest's version: the supervisor may unlink what is not in it.
        """
        version = self._instance.version
        if version == self._version:
            return
        info = self._instance.read()
        wanted = {
            entry.number
            for entry in info.manifest
            if entry.kind is SegmentKind.TICKS and entry.decoder == self._number
        }
        for connection in self.by_connection.keys() - wanted:
            self._decoder.remove_lane(connection)
            del self.by_connection[connection]
        for connection in sorted(wanted - self.by_connection.keys()):
            self.by_connection[connection] = open_lane(self._decoder, self._paths, connection)
        self._page.record["manifest_version_seen"] = info.manifest_version
        self._version = version
        self._decoder.watch(self._instance.version_word, version)


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
