"""What is known of an instance at one moment, as plain frozen dataclasses. Floor 4.

Field names are the keys of `stat --json`: units stand last, ages are in seconds, codes are their
names. The instrument sets are never mixed: confirmed lies within wire, wire within assigned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One stage's account: nothing may vanish. `difference` = in - out - dropped."""

    stage: str
    came_in: int
    went_out: int
    dropped: int
    difference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of a histogram, at most 1.6 % too high; all 0 without samples."""

    samples: int
    p50_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """Instruments of a connection, by how far each has come.

    assigned: wanted of it · wire: sent to the broker on this socket · confirmed: a packet came in
    this epoch · seen: a packet came in any epoch.
    """

    assigned: int
    wire: int
    confirmed: int
    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """A ring, and who is behind in it.

    In a frame ring that is the decoder, in a tick stream the slowest living reader.
    """

    capacity: int
    tail: int
    behind: int
    fill_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection: its feed, its rings, what its decoder counted."""

    number: int
    broker: str
    account: str
    owner: str
    decoder: int
    state: str
    reason: str
    since_ts_ns: int
    since_s: float
    connection_epoch: int
    feed_pid: int
    feed_alive: bool
    heartbeat_age_s: float | None
    last_byte_age_s: float | None
    last_data_age_s: float | None
    instruments: Instruments
    frames: Ring
    ticks: Ring
    events_tail: int
    feed_counters: dict[str, int]
    decode_counters: dict[str, int]
    balances: list[Balance]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFrame:
    """The beginning of a frame that was shorter or longer than it says; one a minute is kept."""

    connection: int
    source_sequence: int
    receive_ts_ns: int
    frame_bytes: int
    fault: str
    beginning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """One decoder process."""

    number: int
    pid: int
    alive: bool
    heartbeat_age_s: float | None
    generation: int
    commits: int
    paced: int
    rolled_forward: int
    receive_to_publish: Latency
    bad_frame: BadFrame | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One supervised process."""

    name: str
    role: str
    number: int
    pid: int
    alive: bool
    uptime_s: float | None
    restarts: int
    consecutive_deaths: int
    circuit_open: bool
    last_exit_code: int | None
    last_exit_reason: str | None
    last_exit_ts_ns: int

    @property
    def is_done(self) -> bool:
        """Whether it is a strategy that ended by itself with code 0: it gets no successor."""
        return self.role == "strategy" and not self.alive and self.last_exit_code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderCursor:
    """Where a reader is in one connection's tick stream."""

    connection: int
    cursor: int
    lag: int
    delivered: int
    lost: int
    laps: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One attached strategy; the sums are over its connections, `lag` is the largest."""

    name: str
    pid: int
    alive: bool
    policy: str
    heartbeat_age_s: float | None
    batches: int
    delivered: int
    events: int
    lost: int
    laps: int
    lag: int
    latency: Latency
    cursors: list[ReaderCursor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One hosted strategy, over all of its processes.

    `phase` is what its process is doing (a method's name, import, waiting), `phase_s` for how
    long; None without a process. `is_slow`: longer than its `report_after_s`. `dropped`: what it
    did not hand on, as it says itself.
    """

    name: str
    number: int
    phase: str | None
    phase_s: float | None
    is_slow: bool
    calls: int
    ticks: int
    events: int
    lost: int
    dropped: int
    exceptions: int
    output_lines: int
    output_lines_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The gateway: who is connected, and what became of what came in.

    `subscriptions` are clients' instruments and modes, `instruments` those that anybody has,
    `demanded` those asked of the pool. `counters` count over all of its processes.
    """

    pid: int
    alive: bool
    heartbeat_age_s: float | None
    port: int
    clients: int
    authenticated: int
    subscriptions: int
    instruments: int
    messages_waiting: int
    demanded: int
    counters: dict[str, int]
    balances: list[Balance]
    receive_to_send: Latency

    @property
    def imbalances(self) -> list[Balance]:
        """The stages that lost something without a word."""
        return [balance for balance in self.balances if balance.difference]

    @property
    def refused_by(self) -> dict[str, int]:
        """How many were turned away, by reason; `keys` are keys, not connections."""
        return {**self._named("refused_"), "keys": self.counters["keys_refused"]}

    @property
    def cut_by(self) -> dict[str, int]:
        """How many clients were put out, by reason."""
        return self._named("cut_")

    @property
    def lost_by(self) -> dict[str, int]:
        """What was overwritten before it was read, by what it was."""
        return {"ticks": self.counters["ticks_lost"], "orders": self.counters["orders_lost"]}

    def _named(self, prefix: str) -> dict[str, int]:
        return {
            name.removeprefix(prefix): count
            for name, count in self.counters.items()
            if name.startswith(prefix)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceStatus:
    """Everything that shared memory tells of one instance."""

    name: str
    instance_id: str
    state: str
    reason: str
    live: bool
    supervisor_pid: int
    supervisor_alive: bool
    started_ts_ns: int
    changed_ts_ns: int
    taken_ts_ns: int
    taken_mono_ns: int
    uptime_s: float
    gated: bool
    manifest_version: int
    shm_bytes: int
    forks: int
    deaths: int
    kills: int
    processes: list[Process]
    connections: list[Connection]
    decoders: list[Decoder]
    readers: list[Reader]
    strategies: list[Strategy] = field(default_factory=list)
    gateway: Gateway | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the status in JSON's types."""
        return asdict(self)
