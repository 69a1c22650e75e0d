"""What a failed verdict has to tell: how some states of an instrument were sent, and delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from pipeline.core.clock import NS_PER_MS
from tests.system.witness import Array

#: What is told of a packet beside its time, as far as its log has it.
TOLD: Final = (
    "sequence", "connection", "epoch", "flags", "tick_sequence", "source_sequence", "content",
    "session", "frame", "kind",
)  # fmt: skip


class Story(NamedTuple):
    """One instrument: (n,) rows of a witness, and (m,) truth_dtype of the exchange."""

    rows: Array
    truth: Array
    instrument_token: int

    def around(self, states: Array) -> str:
        """Return a line for each time that one of these states, or one beside it, came or went."""
        near = np.unique([*(states - 1), *states, *(states + 1)])
        delivered = self._tell("delivered", self.rows, near, "receive_ts_ns")
        sent = self._tell("sent", self.truth, near, "send_ts_ns")
        return "\n".join([*delivered, *sent])

    def _tell(self, what: str, records: Array, near: Array, time: str) -> Iterator[str]:
        records = records[records["instrument_token"] == self.instrument_token]
        names = [name for name in TOLD if name in (records.dtype.names or ())]
        began_ns = int(self.truth["send_ts_ns"].min())
        for record in records[np.isin(records["sequence"], near)]:
            at_ms = (int(record[time]) - began_ns) / NS_PER_MS
            told = ", ".join(f"{name} {record[name].item()}" for name in names)
            yield f"{what} at {at_ms:.3f} ms: {told}"
