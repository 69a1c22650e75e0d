"""What `demo` can be told, checked before anything is made. Floor 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.instruments import SIMULATED_INSTRUMENTS_MAX

#: A silent connection is found after 4.5 s and live again by 7 s; half the run must hold that.
SECONDS_MIN: Final = 15
CONNECTIONS_MAX: Final = 9  # three API keys of the simulator with three connections each
INSTRUMENTS_PER_CONNECTION_MAX: Final = 3000
INTERVAL_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Everything about a run of the demo; `rate` None is as fast as it goes."""

    seconds: float = 20.0
    rate: float | None = 18_000.0
    connections: int = 3
    instruments: int = 9000
    seed: int = 1
    as_json: bool = False

    @property
    def is_load(self) -> bool:
        """Whether the exchange sends every move, and waits for the fast strategy.

        A conflating exchange sends an instrument at most once in each interval.
        """
        return self.rate is None or self.rate > self.instruments / INTERVAL_S

    def checked(self) -> DemoOptions:
        """Return these options; raise ConfigError with every problem at once."""
        room = self.connections * INSTRUMENTS_PER_CONNECTION_MAX
        most = min(room, SIMULATED_INSTRUMENTS_MAX)
        checks = [
            ("--seconds", self.seconds, SECONDS_MIN <= self.seconds <= 86_400,
             f"{SECONDS_MIN} to 86400: the fault half-way takes 7 s to heal"),
            ("--rate", self.rate, self.rate is None or self.rate > 0, 'above 0 ticks/s, or "max"'),
            ("--connections", self.connections, 1 <= self.connections <= CONNECTIONS_MAX,
             f"1 to {CONNECTIONS_MAX}"),
            ("--instruments", self.instruments, self.connections <= self.instruments <= most,
             f"{self.connections} to {most} (3,000 a connection)"),
            ("--seed", self.seed, 0 <= self.seed < 2**63, "0 to 2^63 - 1"),
        ]  # fmt: skip
        problems = [
            Problem(name, str(found), allowed) for name, found, good, allowed in checks if not good
        ]
        if problems:
            raise ConfigError("demo", problems)
        return self


def parse_rate(text: str) -> float | None:
    """Return ticks/s, None for "max"; raise ConfigError otherwise."""
    if text == "max":
        return None
    try:
        return float(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise ConfigError(
            "demo", [Problem("--rate", text, 'a number of ticks/s, or "max"')]
        ) from None
