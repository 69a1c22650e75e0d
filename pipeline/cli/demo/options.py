"""What `demo` can be told, checked before anything is made. Floor 6.

`python -m pipeline.cli.demo.options OPTIONS` checks a command line with the standard library
alone: the script `./demo` does so before it installs and compiles for minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.instruments import SIMULATED_INSTRUMENTS_MAX

#: A silent connection is found after 4.5 s and live again by 7 s; the faults come so long before
#: the end of a run whose half is shorter.
HEAL_S: Final = 7.5
SECONDS_MIN: Final = 10
SECONDS_MAX: Final = 86_400
RATE_MAX: Final = 100_000_000  # as `[simulator] rate`
CONNECTIONS_MAX: Final = 9  # three API keys of the simulator with three connections each
INSTRUMENTS_PER_CONNECTION_MAX: Final = 3000
INTERVAL_S: Final = 0.1
_EXAMPLES: Final = Path(__file__).parents[3] / "examples"


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

    @property
    def faults_after_s(self) -> float:
        """When the exchange misbehaves: half-way, or as late as it can still heal."""
        return min(self.seconds / 2, self.seconds - HEAL_S)

    def checked(self) -> DemoOptions:
        """Return these options; raise ConfigError with every problem at once."""
        room = self.connections * INSTRUMENTS_PER_CONNECTION_MAX
        most = min(room, SIMULATED_INSTRUMENTS_MAX)
        checks = [
            ("--seconds", self.seconds, SECONDS_MIN <= self.seconds <= SECONDS_MAX,
             f"{SECONDS_MIN} to {SECONDS_MAX}: a connection that goes mute takes 7 s to heal"),
            ("--rate", self.rate, self.rate is None or 0 < self.rate <= RATE_MAX,
             f'above 0 ticks/s, {RATE_MAX:,} at most, or "max"'),
            ("--connections", self.connections, 1 <= self.connections <= CONNECTIONS_MAX,
             f"1 to {CONNECTIONS_MAX}"),
            ("--instruments", self.instruments, self.connections <= self.instruments <= most,
             f"{self.connections} to {most} (3,000 a connection)"),
            ("--seed", self.seed, 0 <= self.seed < 2**63, "0 to 2^63 - 1"),
        ]  # fmt: skip
        problems = [
            Problem(name, f"{found:g}" if isinstance(found, float) else str(found), allowed)
            for name, found, good, allowed in checks
            if not good
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


def instruments_for(connections: int) -> int:
    """Return how many instruments there are when nobody says."""
    return min(9000, connections * INSTRUMENTS_PER_CONNECTION_MAX)


def parser() -> argparse.ArgumentParser:
    """Return a parser of the options that the command `demo` takes."""
    found = argparse.ArgumentParser(prog="demo", description="Show the whole pipeline at work.")
    defaults = DemoOptions()
    found.add_argument("name", nargs="?", type=_written, choices=_names(), metavar="NAME")
    found.add_argument("--list", action="store_true", help="name the demos there are")
    found.add_argument("--seconds", type=float, default=defaults.seconds)
    found.add_argument("--rate", default="18000", metavar="N|max")
    found.add_argument("--connections", type=int, default=defaults.connections)
    found.add_argument("--instruments", type=int)
    found.add_argument("--seed", type=int, default=defaults.seed)
    found.add_argument("--json", action="store_true")
    found.add_argument("--debug", action="store_true", help="show tracebacks")
    return found


def _names() -> list[str]:
    """Return the demos by name that are here, found without a package."""
    programs = sorted((_EXAMPLES / "pool").glob("*.py"))
    return [*(path.stem for path in programs if path.stem != "show"), "gateway"]


def _written(name: str) -> str:
    return name.replace("-", "_")


def check(arguments: Sequence[str]) -> int:
    """Tell what is wrong with a command line; return 0 or the exit code."""
    found = parser().parse_args(arguments)
    if found.name is not None or found.list:
        return 0  # of the rest only --seconds counts, and that is looked at when it runs
    try:
        DemoOptions(
            seconds=found.seconds,
            rate=parse_rate(found.rate),
            connections=found.connections,
            instruments=(
                instruments_for(found.connections)
                if found.instruments is None
                else found.instruments
            ),
            seed=found.seed,
        ).checked()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(check(sys.argv[1:]))
