"""An unmodified KiteTicker on the same instruments beside our pipeline: both get the same ticks.

KiteTicker (kiteconnect 5.2.2) and our strategy are processes of their own; what they were called
back with is compared as dicts, value by value.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.core.instruments import simulated_tokens
from pipeline.supervisor.launch import launch
from tests.system.judge import run_dry
from tests.system.rig import MODES, Run, wait_for

COUNT = 30
TICKS_EACH = 40

REFERENCE = """
import json, pickle, sys
from kiteconnect import KiteTicker

url, path, modes, wanted = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
kws = KiteTicker("demo2", "demo2", root=url)
received = 0

def on_connect(ws, response):
    for mode, tokens in modes.items():
        ws.subscribe(tokens)
        ws.set_mode(mode, tokens)

def on_ticks(ws, ticks):
    global received
    pickle.dump(ticks, file)
    received += len(ticks)
    if received >= wanted:
        ws.close()

kws.on_connect, kws.on_ticks = on_connect, on_ticks
kws.on_close = lambda ws, code, reason: ws.stop()
with open(path, "wb") as file:
    kws.connect()
"""
OURS = """
import pickle, sys
import pipeline
from pipeline.core.errors import InstanceEnded

path, shm = sys.argv[1:]
with (
    open(path, "wb") as file,
    pipeline.attach("system", from_="oldest", shm_directory=shm) as market,
):
    try:
        for ticks in market.batches():
            pickle.dump(pipeline.to_kite_dicts(ticks), file)
    except InstanceEnded:
        pass
"""


def batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the pickled lists of a file."""
    with path.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)


def states(path: Path, modes: dict[int, str]) -> dict[int, list[dict[str, Any]]]:
    """Return what each instrument showed in its wanted mode, without cached repeats."""
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for batch in batches(path):
        for tick in batch:
            if tick["mode"] == modes[tick["instrument_token"]]:
                found[tick["instrument_token"]].append(tick)
    return {token: [tick for tick, _ in groupby(ticks)] for token, ticks in found.items()}


def url_of(run: Run) -> str:
    """Return the address that the exchange has told."""
    line = next(text for text in run.log.read_text().splitlines() if "ws://127" in text)
    return "ws://" + line.partition("ws://")[2].split()[0].rstrip(",.;")


def test_kiteticker_beside_us_receives_the_same_ticks(make_run: Callable[..., Run]) -> None:
    run = make_run(count=COUNT, simulator='rate = "max"\ninterval_s = 0.05').start_and_wait()
    by_mode = {
        mode: list(simulated_tokens(COUNT * number, COUNT)) for number, mode in enumerate(MODES)
    }
    modes = {token: mode for mode, tokens in by_mode.items() for token in tokens}
    ours, reference = run.folder / "ours", run.folder / "reference"
    strategy = launch(["-c", OURS, str(ours), str(run.paths.root)])
    run.sessions.append(strategy.pid)
    run.strategies.append(strategy)
    wait_for(lambda: ours.exists() and ours.stat().st_size, "our strategy to read")
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REFERENCE, url_of(run), str(reference),
         json.dumps(by_mode), str(len(modes) * TICKS_EACH)],
        check=True, timeout=90, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    run_dry(run)
    assert run.stop() == 0
    assert strategy.wait(20) == 0
    expected, found = states(reference, modes), states(ours, modes)
    assert sorted(expected) == sorted(modes)
    for token, ticks in expected.items():
        first = found[token].index(ticks[0])
        assert found[token][first : first + len(ticks)] == ticks
    compared = sum(map(len, expected.values()))
    print(f"{compared:,} ticks of {len(modes)} instruments: KiteTicker's dicts are ours")
    assert compared > len(modes) * TICKS_EACH / 2
    run.assert_nothing_left()
