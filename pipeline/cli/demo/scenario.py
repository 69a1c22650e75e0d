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


#: The names of the exchange's instruments, and the keys of the page: in the demo's folder.
LIST_NAME: Final = "list.sqlite"
KEYS_NAME: Final = "keys.sqlite"
#: A pool whose connections stay as they are: the faults are to be seen where they happen.
_POOL: Final = """[pool]
policy = "first_fit"
instruments_per_connection = {}
connections_per_key = {}
headroom = 0.0
redistribute_after_s = 3600.0
rebalance_after_s = 86400.0
shrink_after_s = 0.0
homes_file = "homes.sqlite"

[api]
port = 0

[gateway]
port = 0
keys_file = "{}"

[instruments]
file = "{}"
"""


def config_text(options: DemoOptions, *, name: str, truth: Path, page: bool = False) -> str:
    """Return the TOML of a run: each connection with a third of its instruments in each mode.

    page: with a control process that serves the screen, and a gateway for its prices.
    """
    parts = [
        f'[instance]\nname = "{name}"\nlog_level = "error"\n',
        _simulator(options, truth),
        *_accounts(options.connections),
    ]
    if page:
        most = instruments_per_connection(options)
        parts.append(_POOL.format(most, _CONNECTIONS_PER_KEY, KEYS_NAME, LIST_NAME))
    return "\n".join([*parts, *_connections(options, pooled=page)])


def can_have_page(options: DemoOptions) -> bool:
    """Whether a pool comes to the same connections: not while the exchange waits for a reader."""
    most = instruments_per_connection(options)
    return not options.is_load and -(-options.instruments // most) == options.connections


def instruments_per_connection(options: DemoOptions) -> int:
    """Return how many instruments the fullest connection has."""
    return -(-options.instruments // options.connections)


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


def _connections(options: DemoOptions, *, pooled: bool) -> Iterator[str]:
    first = 0
    for number, count in enumerate(split(options.instruments, options.connections)):
        if not pooled:
            yield f'[[connection]]\naccount = "{_KEYS[number // _CONNECTIONS_PER_KEY]}"\n'
        where = "" if pooled else f"connection = {number}\n"
        for mode, share in zip(MODES, split(count, len(MODES)), strict=True):
            if share:
                yield (
                    f"[[subscription]]\nsimulated = {{ first = {first}, count = {share} }}\n"
                    f'mode = "{mode}"\n{where}'
                )
            first += share


def split(total: int, parts: int) -> list[int]:
    """Return `parts` whole numbers that differ by at most one and add up to `total`."""
    return [total * (n + 1) // parts - total * n // parts for n in range(parts)]
