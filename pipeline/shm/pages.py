"""Status pages: what each role tells about itself, readable from outside, also after its death.

Floor 2. A page belongs to a role, not to a process, and goes on counting over restarts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ext.cells import Histogram, Word
from pipeline.core import layout
from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.shm.identity import own_identity
from pipeline.shm.segment import Segment

STRUCTS: Final = {
    SegmentKind.SUPERVISOR_STATUS: "SupervisorStatusC",
    SegmentKind.FEED_STATUS: "FeedStatusC",
    SegmentKind.DECODER_STATUS: "DecoderStatusC",
    SegmentKind.STRATEGY_STATUS: "StrategyStatusC",
    SegmentKind.READER: "ReaderC",
    SegmentKind.SIMULATOR_STATUS: "SimulatorStatusC",
    SegmentKind.CONTROL_STATUS: "ControlStatusC",
    SegmentKind.GATEWAY_STATUS: "GatewayStatusC",
}


class StatusPage:
    """A status page; `record` is the C struct in place (`page.record["stalls"] += 1`)."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        kind = SegmentKind(int(segment.header["kind"]))
        self.struct = STRUCTS[kind]
        self.record: np.ndarray[Any, Any] = segment.record(self.struct)
        self.head: np.ndarray[Any, Any] = self.record["head"]

    def begin(self, role: Role, number: int = 0) -> None:
        """Take the page over for the calling process; counters stay as they are."""
        pid, started = own_identity()
        now = monotonic_ns()
        self.segment.claim(role)
        self.head["pid"] = pid
        self.head["start_time"] = started
        self.head["role"] = role
        self.head["number"] = number
        self.head["started_mono_ns"] = now
        self.head["generation"] += 1
        self.beat(now)

    def beat(self, now_mono_ns: int, busy_until_mono_ns: int = 0) -> None:
        """Say that this process lives, and until when it may be silent."""
        self.head["busy_until_mono_ns"] = busy_until_mono_ns
        self.head["heartbeat_mono_ns"] = now_mono_ns

    def set_state(self, state: State, reason: Reason) -> None:
        """Enter a state, with its reason and since-time."""
        self.head["state"] = state
        self.head["reason"] = reason
        self.head["state_since_ts_ns"] = real_ns()
        self.head["state_since_mono_ns"] = monotonic_ns()

    def histogram(self, field: str) -> Histogram:
        """Return one of the page's histograms."""
        offset = layout.dtypes[self.struct].fields[field][1]  # type: ignore[index]
        return Histogram(self.segment.mapping, layout.data_offset + offset)


class AccountPage:
    """What all feeds of one API key share: the next allowed handshake, and a rejected secret.

    `record` is the C struct in place; the pool's counters in it are the control process's.
    """

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.record: np.ndarray[Any, Any] = segment.record("AccountC")
        self._next = self._word("next_handshake_mono_ns")
        self._rejected = self._word("rejected_identity")
        self._handshakes = self._word("handshakes")

    def _word(self, field: str) -> Word:
        offset = layout.dtypes["AccountC"].fields[field][1]  # type: ignore[index]
        return Word(self.segment.mapping, layout.data_offset + offset)

    def reserve_handshake(self, now_mono_ns: int, interval_ns: int) -> int:
        """Take the next handshake of this key; return 0, or the ns to wait before asking again."""
        while True:
            allowed = self._next.load()
            if allowed > now_mono_ns:
                return allowed - now_mono_ns
            if self._next.compare_and_swap(allowed, now_mono_ns + interval_ns):
                self._handshakes.store(self._handshakes.load() + 1)
                return 0

    def defer_handshakes(self, until_mono_ns: int) -> None:
        """Allow no handshake of this key before that time; never brings one forward."""
        while (allowed := self._next.load()) < until_mono_ns:
            if self._next.compare_and_swap(allowed, until_mono_ns):
                return

    @property
    def handshakes(self) -> int:
        """How many handshakes this key has made (a remark: racing feeds may lose a count)."""
        return self._handshakes.load()

    @property
    def rejected_identity(self) -> int:
        """The identity of the secret that was answered with 403; 0 = none."""
        return self._rejected.load()

    @rejected_identity.setter
    def rejected_identity(self, identity: int) -> None:
        self._rejected.store(identity)
