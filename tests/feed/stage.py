"""A feed without its supervisor: config, segments and the feed itself, in a thread."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from ext.rings import FrameRingReader
from pipeline.brokers.registry import load_broker
from pipeline.core import logs
from pipeline.core.capacity import BrokerLimits
from pipeline.core.clock import NS_PER_MS
from pipeline.core.config import Config, parse
from pipeline.core.enums import FrameKind, Mode, Reason, SegmentKind, State
from pipeline.core.plan import plan_topology
from pipeline.feed import link
from pipeline.feed.link import LinkParts
from pipeline.feed.process import Feed
from pipeline.feed.segments import FeedSegments
from pipeline.feed.status import FeedStatus
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import AccountPage, StatusPage
from pipeline.shm.plan import plan_segments
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable, WireTable, assignment_rows

PATIENCE_S: Final = 30.0
LIMITS: Final = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}

Frame = dict[str, Any]


def wait_for(condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds; fail, and say what was waited for, after 30 s."""
    end_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end_s, f"no {what} within {patience_s:.0f} s"
        time.sleep(0.005)


class Stage:
    """One connection's shared memory, and the means to run a feed on it."""

    def __init__(self, folder: Path, url: str, feed: str = "", account: str = "") -> None:
        text = f"""
[instance]
name = "stage"
shm_directory = "{folder}"
[[account]]
name = "a"
url = "{url}"
api_key = "demo"
{account}
[[connection]]
account = "a"
instruments_max = 100
[[subscription]]
instruments = [408065, 884737, 256265]
mode = "full"
[feed]
backoff_min_s = 0.02
backoff_max_s = 0.2
{feed}
"""
        self.config: Config = parse(text, source="stage.toml", folder=folder, limits=LIMITS)
        self.paths = InstancePaths("stage", folder)
        folder.mkdir(exist_ok=True)
        self.paths.make()
        topology = plan_topology(self.config)
        self.plan = topology.connections[0]
        for spec in plan_segments(topology).segments:
            path = self.paths.segment(spec.kind, spec.number)
            Segment.create(path, spec, instance_id=bytes(16))
        self.page = StatusPage(self.attach(SegmentKind.FEED_STATUS))
        self.account = AccountPage(self.attach(SegmentKind.ACCOUNT))
        self.assign({w.instrument_token: w.mode for w in self.plan.wanted})
        self.source = FrameRingReader(self.attach(SegmentKind.FRAMES).mapping)
        self.frames: list[Frame] = []

    def attach(self, kind: SegmentKind) -> Segment:
        """Map a segment of connection (account, instance) 0."""
        return Segment.attach(self.paths.segment(kind, 0), kind, writable=True)

    def assign(self, modes: dict[int, Mode]) -> None:
        """Replace the assignment."""
        tokens = np.array(list(modes), np.uint32)
        rows = assignment_rows(tokens, np.array(list(modes.values()), np.uint8), 0)
        AssignmentTable(self.attach(SegmentKind.ASSIGNMENT)).write(rows)

    def wire(self) -> dict[int, Mode]:
        """Return what the feed says it has sent."""
        _, rows = WireTable(self.attach(SegmentKind.WIRE)).read()
        return {int(row["instrument_token"]): Mode(int(row["mode"])) for row in rows}

    def counter(self, name: str) -> int:
        """Return a number of the status page."""
        return int(self.page.record[name])

    @property
    def state(self) -> tuple[State, Reason]:
        """The state and reason of the status page."""
        head = self.page.head
        return State(int(head["state"])), Reason(int(head["reason"]))

    def poll(self) -> list[Frame]:
        """Return every record of the frame ring so far."""
        while (frame := self.source.poll()) is not None:
            self.frames.append(frame)
        return self.frames

    def messages(self) -> list[bytes]:
        """Return the messages of the frame ring so far."""
        return [f["payload"] for f in self.poll() if f["kind"] == FrameKind.MESSAGE]

    def states(self) -> list[tuple[State, Reason]]:
        """Return the state changes in the frame ring so far."""
        return [
            (State(f["state"]), Reason(f["reason"]))
            for f in self.poll()
            if f["kind"] == FrameKind.STATE
        ]

    def texts(self, kind: SegmentKind) -> list[bytes]:
        """Return what is in the order ring or the text ring."""
        reader = FrameRingReader(self.attach(kind).mapping)
        found = []
        while (frame := reader.poll()) is not None:
            found.append(frame["payload"])
        return found

    def wait_for_state(self, state: State, reason: Reason | None = None) -> None:
        """Wait until the state (and reason) has been entered, whether or not it still holds."""

        def entered() -> bool:
            return any(s is state and reason in (None, r) for s, r in self.states())

        wait_for(entered, f"state {state.name}, but {self.states()}")

    def link_parts(self) -> LinkParts:
        """Return what a link works with, without a feed around it."""
        segments = FeedSegments(self.paths, self.plan)
        log = logs.get_logger(__name__, connection=0)
        return LinkParts(
            segments=segments,
            status=FeedStatus(segments, log),
            session=load_broker("kite").session,
            config=self.config.feed,
            hours=self.config.session.hours,
            log=log,
        )

    @contextmanager
    def running(
        self, draw: Callable[[], float] = random.random, *, patient_end: bool = False
    ) -> Iterator[Feed]:
        """Run a feed in a thread for the length of a `with` block.

        With `patient_end` it waits long for the answer to its goodbye, for servers that give one.
        """
        drain_ns = (10_000 if patient_end else 30) * NS_PER_MS
        with patch.object(link, "DRAIN_NS", drain_ns):
            yield from self._running(draw)

    def _running(self, draw: Callable[[], float]) -> Iterator[Feed]:
        feed = Feed(self.config, self.paths, self.plan, draw=draw)
        results: list[int] = []
        thread = threading.Thread(target=lambda: results.append(feed.run()))
        thread.start()
        try:
            yield feed
        finally:
            feed.stop()
            thread.join(PATIENCE_S)
        assert results == [0], "the feed did not end in order"
