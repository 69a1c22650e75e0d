"""What runs in a whole-pipeline benchmark: connections, instruments, rates; as a config file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.strategy import NAME
from pipeline.core.instruments import SEGMENT_INDICES, simulated_token

INSTANCE: Final = "bench"

_HEAD: Final = """
[instance]
name = "{instance}"
shm_directory = "{shm}"
log_level = "error"
[decoder]
spin_us = {decoder_spin_us}
{decoder_more}
[feed]
spin_us = {feed_spin_us}
[[account]]
name = "exchange"
api_key = "demo"
{account}
"""
_SIMULATOR: Final = """
[simulator]
instruments = {instruments}
mode = "{mode}"
rate = {rate}
packets_per_frame = {per_frame}
gate = "{gate}"
connection_limit = {connections}
"""
_CONNECTION: Final = """
[[connection]]
account = "exchange"
instruments_max = {instruments}
[[subscription]]
file = "tokens-{number}.txt"
mode = "full"
connection = {number}
"""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What runs. `rate` in ticks/s over all connections; None: as fast as the strategy takes it.

    With `tls` the exchange is a process of its own that serves wss://, else the instance's.
    `real_time` conflates as the broker does. `notes` makes the strategy keep when it got the first
    and the last tick of each frame, and each batch: for paced runs only, it costs time.
    """

    per_frame: int
    rate: float | None = None
    connections: int = 3
    instruments: int = 3000
    buffer_ticks: int = 8192
    strategy_spin_us: int = 0
    decoder_spin_us: int = 0
    feed_spin_us: int = 0
    tls: bool = False
    real_time: bool = False
    notes: bool = False

    @property
    def gate(self) -> str:
        """The reader that the exchange waits for, or nothing."""
        return NAME if self.rate is None else ""

    def config(self, shm: Path, *, url: str = "simulator", ca_file: Path | None = None) -> str:
        """Return the config of the main job; `url` is where an exchange of its own listens."""
        text = _HEAD.format(
            instance=INSTANCE, shm=shm, decoder_spin_us=self.decoder_spin_us,
            feed_spin_us=self.feed_spin_us, account=_account(url, ca_file),
            # A decoder that knows nothing of the gate would pace what it takes for a backlog.
            decoder_more="catch_up_age_ms = 60000" if self.tls else "",
        )  # fmt: skip
        if not self.tls:
            text += _SIMULATOR.format(
                instruments=self.listed, mode="real-time" if self.real_time else "load",
                rate='"max"' if self.rate is None else float(self.rate), per_frame=self.per_frame,
                gate=self.gate, connections=max(3, self.connections),
            )  # fmt: skip
        for number in range(self.connections):
            text += _CONNECTION.format(number=number, instruments=self.instruments)
        return text

    @property
    def listed(self) -> int:
        """How many instruments the exchange lists; every 16th of them may be an index."""
        return self.connections * self.instruments * 16 // 15 + 16

    def tokens(self, number: int) -> list[int]:
        """Return a connection's instruments: no indices, whose packets are small."""
        listed = (simulated_token(position) for position in range(self.listed))
        found = [token for token in listed if token & 0xFF != SEGMENT_INDICES]
        return found[number * self.instruments : (number + 1) * self.instruments]


def _account(url: str, ca_file: Path | None) -> str:
    lines = [f'url = "{url}"'] + ([f'ca_file = "{ca_file}"'] if ca_file else [])
    return "\n".join(lines)
