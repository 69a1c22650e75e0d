"""What a simulated exchange is told at its start. Floor 4; plain data, no I/O.

Keys and tokens are not secrets here (`demo`, token `demo`), but further ones come by a file all
the same, never by the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.instruments import SIMULATED_INSTRUMENTS_MAX

REAL_TIME: Final = "real-time"
LOAD: Final = "load"
LIMIT_POLICIES: Final = ("refuse", "evict", "soft")
#: What becomes of a subscription that crosses the limit: it is taken as far as it fits, or not.
CROSSINGS: Final = ("part", "whole")
PACKETS_PER_FRAME_MAX: Final = 5000
DEFAULT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {"demo": "demo", "demo2": "demo2", "demo3": "demo3"}
)


def api_secret(key: str) -> str:
    """Return what goes with an API key when a request token is exchanged; no secret here."""
    return f"{key}-secret"


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """Everything that a simulated exchange can be told; `checked()` before use.

    `rate` is ticks/s over all connections: the instruments that move in real-time mode, the packets
    sent in load mode; None is as many as possible (all of them each interval; what the sockets
    take). `gate` names the reader that load mode waits for, `instance_directory` where
    that reader's page lies. `connection_limit` and `limit_policy` govern what happens to one
    connection more of an API key: refused with 429, the oldest evicted, or nothing (soft). `run`
    names the run, so that a successor of a simulator that has died goes on with its truth log.
    """

    host: str = "127.0.0.1"
    port: int = 0
    instruments: int = 9000
    seed: int = 1
    mode: str = REAL_TIME
    interval_s: float = 1.0
    rate: float | None = None
    packets_per_frame: int = 100
    heartbeat_s: float = 1.0
    subscriptions_max: int = 3000
    connection_limit: int = 3
    limit_policy: str = "refuse"
    truth: Path | None = None
    faults: Path | None = None
    control: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    gate: str | None = None
    instance_directory: Path | None = None
    run: str = ""
    keys: Mapping[str, str] = field(default_factory=lambda: DEFAULT_KEYS, repr=False)

    def checked(self) -> SimulatorOptions:
        """Return these options; raise ConfigError with every problem at once."""
        problems = [
            Problem(f"--{name.replace('_', '-')}", repr(found), allowed)
            for name, found, good, allowed in self._checks()
            if not good
        ]
        if problems:
            raise ConfigError("simulator", problems)
        return self

    def _checks(self) -> list[tuple[str, object, bool, str]]:
        load = self.mode == LOAD
        return [
            ("port", self.port, 0 <= self.port <= 65535, "0 (any free port) to 65535"),
            (
                "instruments",
                self.instruments,
                1 <= self.instruments <= SIMULATED_INSTRUMENTS_MAX,
                f"1 to {SIMULATED_INSTRUMENTS_MAX}",
            ),
            ("seed", self.seed, 0 <= self.seed < 2**64, "0 to 2^64 - 1"),
            ("mode", self.mode, self.mode in (REAL_TIME, LOAD), f"{REAL_TIME} or {LOAD}"),
            (
                "interval",
                self.interval_s,
                0.001 <= self.interval_s <= 60,
                "0.001 to 60 seconds",
            ),
            ("rate", self.rate, self.rate is None or self.rate >= 0, "0 or more ticks/s, or max"),
            (
                "packets_per_frame",
                self.packets_per_frame,
                1 <= self.packets_per_frame <= PACKETS_PER_FRAME_MAX,
                f"1 to {PACKETS_PER_FRAME_MAX}",
            ),
            ("heartbeat", self.heartbeat_s, self.heartbeat_s > 0, "above 0 seconds"),
            (
                "subscriptions_max",
                self.subscriptions_max,
                1 <= self.subscriptions_max <= PACKETS_PER_FRAME_MAX,
                f"1 to {PACKETS_PER_FRAME_MAX}",
            ),
            (
                "connection_limit",
                self.connection_limit,
                self.connection_limit >= 1,
                "at least 1",
            ),
            (
                "limit_policy",
                self.limit_policy,
                self.limit_policy in LIMIT_POLICIES,
                ", ".join(LIMIT_POLICIES),
            ),
            (
                "tls_key",
                self.tls_key,
                (self.tls_cert is None) == (self.tls_key is None),
                "given together with --tls-cert, or neither",
            ),
            ("gate", self.gate, self.gate is None or load, f"only with --mode {LOAD}"),
            (
                "instance_directory",
                self.instance_directory,
                (self.gate is None) == (self.instance_directory is None),
                "given together with --gate, or neither",
            ),
        ]
