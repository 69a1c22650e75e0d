"""The config that the demo runs: an ordinary file for the ordinary main job. Floor 6; pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.cli.demo.options import INTERVAL_S, DemoOptions

FAST: Final = "fast"
SLOW: Final = "slow"
#: The exchange's log of what it sent, in the demo's folder.
TRUTH_NAME: Final = "truth.bin"
MODES: Final = ("full", "quote", "ltp")
_KEYS: Final = ("demo", "demo2", "demo3")
_CONNECTIONS_PER_KEY: Final = 3


def config_text(options: DemoOptions, *, name: str, truth: Path) -> str:
    """Return the TOML of a run: each connection with a third of its instruments in each mode."""
    parts = [
        f'[instance]\nname = "{name}"\nlog_level = "error"\n',
        _simulator(options, truth),
        *_accounts(options.connections),
        *_connections(options),
    ]
    return "\n".join(parts)


def _simulator(options: DemoOptions, truth: Path) -> str:
    rate = '"max"' if options.rate is None else repr(options.rate)
    lines = [
        "[simulator]",
        f"instruments = {options.instruments}",
        f"rate = {rate}",
        f"seed = {options.seed}",
        f"truth = {_quoted(str(truth))}",
        f"interval_s = {INTERVAL_S}",
    ]
    if options.is_load:
        lines += ['mode = "load"', f'gate = "{FAST}"']
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _accounts(connections: int) -> Iterator[str]:
    for key in _KEYS[: -(-connections // _CONNECTIONS_PER_KEY)]:
        yield f'[[account]]\nname = "{key}"\napi_key = "{key}"\nurl = "simulator"\n'


def _connections(options: DemoOptions) -> Iterator[str]:
    first = 0
    for number, count in enumerate(split(options.instruments, options.connections)):
        yield f'[[connection]]\naccount = "{_KEYS[number // _CONNECTIONS_PER_KEY]}"\n'
        for mode, share in zip(MODES, split(count, len(MODES)), strict=True):
            if share:
                yield (
                    f"[[subscription]]\nsimulated = {{ first = {first}, count = {share} }}\n"
                    f'mode = "{mode}"\nconnection = {number}\n'
                )
            first += share


def split(total: int, parts: int) -> list[int]:
    """Return `parts` whole numbers that differ by at most one and add up to `total`."""
    return [total * (n + 1) // parts - total * n // parts for n in range(parts)]
