"""What runs in a whole-pipeline benchmark: connections, instruments, rates; as a config file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.strategy import NAME
from pipeline.core.instruments import SEGMENT_INDICES, simulated_token
from pipeline.core.naps import NAP_US

INSTANCE: Final = "bench"
#: Feeds that are stopped now and then are not to take it for the broker's silence.
_PATIENT: Final = "ping_after_s = 60.0\nstall_after_s = 120.0\nquiet_after_s = 120.0"
CONNECTIONS_OF_A_KEY: Final = 3

_HEAD: Final = """
[instance]
name = "{instance}"
shm_directory = "{shm}"
log_level = "error"
[decoder]
spin_us = {decoder_spin_us}
nap_us = {decoder_nap_us}
{decoder_more}
[feed]
spin_us = {feed_spin_us}
{feed_more}
"""
_ACCOUNT: Final = """
[[account]]
name = "{key}"
api_key = "{key}"
url = "{url}"
{more}
"""
_SIMULATOR: Final = """
[simulator]
instruments = {instruments}
mode = "{mode}"
rate = {rate}
packets_per_frame = {per_frame}
gate = "{gate}"
"""
_POOL: Final = """
[pool]
open = "all"
instruments_per_connection = {capacity}
headroom = 0.0
[api]
port = 0
changes_per_s = 100000
"""
_SUBSCRIPTION: Final = """
[[subscription]]
file = "tokens-{number}.txt"
mode = "full"
"""
_CONNECTION: Final = """
[[connection]]
account = "{key}"
instruments_max = {instruments}
[[subscription]]
file = "tokens-{number}.txt"
mode = "full"
connection = {number}
"""


def token_file(key: str) -> str:
    """Return the name of the file, beside the config, with the token of a key of our own."""
    return f"token-{key}"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What runs. `rate` in ticks/s over all connections; None: as fast as the strategy takes it.

    `own_exchange` makes the exchange a process of its own, instead of one of the instance's; it is
    so with `tls`.
    `pooled` leaves the connections to a control process, which serves HTTP beside; each then has
    room for `spare` instruments more than it gets. `dealt` deals the instruments out to the
    connections in turn, as a pool does, and not in blocks. `halting`: the run is halted at times.
    `token_files` has accounts read their tokens from files, as always with an exchange of its own.
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
    strategy_nap_us: int = NAP_US
    decoder_nap_us: int = NAP_US
    tls: bool = False
    own_exchange: bool = False
    pooled: bool = False
    spare: int = 0
    dealt: bool = False
    halting: bool = False
    token_files: bool = False
    real_time: bool = False
    notes: bool = False

    @property
    def gate(self) -> str:
        """The reader that the exchange waits for, or nothing."""
        return NAME if self.rate is None else ""

    @property
    def keys(self) -> list[str]:
        """The API keys, one for each three connections."""
        count = -(-self.connections // CONNECTIONS_OF_A_KEY)
        return ["demo", *(f"demo{number}" for number in range(2, count + 1))]

    def config(self, shm: Path, *, url: str = "simulator", ca_file: Path | None = None) -> str:
        """Return the config of the main job; `url` is where an exchange of its own listens."""
        outside = url != "simulator"
        text = _HEAD.format(
            instance=INSTANCE, shm=shm, decoder_spin_us=self.decoder_spin_us,
            decoder_nap_us=self.decoder_nap_us,
            feed_spin_us=self.feed_spin_us, feed_more=_PATIENT if self.halting else "",
            # A decoder that knows nothing of the gate would pace what it takes for a backlog.
            decoder_more="catch_up_age_ms = 60000" if outside else "",
        )  # fmt: skip
        for key in self.keys:
            from_file = outside or self.token_files
            lines = [f'access_token = "file:{token_file(key)}"'] if from_file else []
            lines += [f'ca_file = "{ca_file}"'] if ca_file else []
            text += _ACCOUNT.format(key=key, url=url, more="\n".join(lines))
        if not outside:
            text += _SIMULATOR.format(
                instruments=self.listed, mode="real-time" if self.real_time else "load",
                rate='"max"' if self.rate is None else float(self.rate), per_frame=self.per_frame,
                gate=self.gate,
            )  # fmt: skip
        if self.pooled:
            text += _POOL.format(capacity=self.instruments + self.spare)
        for number in range(self.connections):
            if self.pooled:
                text += _SUBSCRIPTION.format(number=number)
                continue
            key = self.keys[number // CONNECTIONS_OF_A_KEY]
            text += _CONNECTION.format(number=number, key=key, instruments=self.instruments)
        return text

    @property
    def listed(self) -> int:
        """How many instruments the exchange lists; every 16th of them may be an index."""
        return self.connections * self.instruments * 16 // 15 + 16

    def tokens(self, number: int) -> list[int]:
        """Return a connection's instruments: no indices, whose packets are small."""
        listed = (simulated_token(position) for position in range(self.listed))
        found = [token for token in listed if token & 0xFF != SEGMENT_INDICES]
        if self.dealt:
            return found[: self.connections * self.instruments][number :: self.connections]
        return found[number * self.instruments : (number + 1) * self.instruments]
