"""What of the page needs no browser: figures as the terminal has them, and candles."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import figures
from pipeline.services.control.api.page import SCREEN

#: Where the page writes a unit apart or another sign, and the terminal has no room for it.
_AS_ON_THE_PAGE = {"us": " µs", "ns": " ns", "ms": " ms", "s": " s"}


def ask(*questions: dict[str, Any]) -> list[Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the page needs node to be tested (apt-get install nodejs)")
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run(
        [node, "--no-warnings", Path(__file__).with_name("modules.mjs"), SCREEN],
        input=lines, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def spaced(text: str) -> str:
    """Return a figure of the terminal as the page writes it."""
    for unit in ("ns", "us", "ms"):
        if text.endswith(unit):
            return text.removesuffix(unit) + _AS_ON_THE_PAGE[unit]
    is_plain = text.endswith("s") and not set(text) & set("mhd")
    return text.removesuffix("s") + " s" if is_plain else text


def test_figures_are_written_as_in_the_terminal() -> None:
    values = [0, 1, 9, 99, 999, 1000, 9_994, 9_996, 99_940, 99_960, 999_400, 1e6, 12_345_678, 3e15]
    seconds = [0.0, 0.4, 9.9, 12.2, 59.4, 61.0, 185.0, 3599.0, 7381.0, 86_399.0, 446_400.0]
    nanoseconds = [0, 850, 12_345, 999_999, 4_560_000, 1_200_000_000]
    questions = [
        *({"about": "figure", "name": "count", "value": value} for value in values),
        *({"about": "figure", "name": "duration", "value": value} for value in seconds),
        *({"about": "figure", "name": "latency", "value": value} for value in nanoseconds),
    ]
    expected = [
        *map(figures.count, values),
        *(spaced(figures.duration(value)) for value in seconds),
        *(spaced(figures.latency(value)) for value in nanoseconds),
    ]
    assert ask(*questions) == expected


@pytest.mark.parametrize("seconds", [5, 15, 60, 300])
def test_candles_are_those_of_their_ticks(seconds: int, seed: int) -> None:
    """Against a plain sum over all ticks, of any length that the page offers."""
    rng = random.Random(seed)
    at, price, total = 1_761_157_800_000, 10_000, 0
    ticks = []
    for _ in range(2000):
        at += rng.choice((0, 10, 400, 900, 7000))
        price += rng.choice((-5, 0, 5))
        total += rng.randrange(0, 100)
        ticks.append((at, price / 100, total))
    expected: dict[int, dict[str, Any]] = {}
    before = None
    for ms, paid, day in ticks:
        begin = ms // 1000 // seconds * seconds
        row = expected.setdefault(
            begin, {"at": begin, "open": paid, "high": paid, "low": paid, "volume": 0, "ticks": 0}
        )
        row["high"], row["low"] = max(row["high"], paid), min(row["low"], paid)
        row["close"] = paid
        row["volume"] += 0 if before is None else day - before
        row["ticks"] += 1
        before = day
    [found] = ask({"about": "candles", "ticks": ticks, "seconds": seconds})
    assert found == list(expected.values())


def test_a_late_tick_widens_its_candle_and_closes_none() -> None:
    ticks = [(10_000, 100.0, None), (16_000, 101.0, None), (11_000, 90.0, None), (1, 1.0, None)]
    [found] = ask({"about": "candles", "ticks": ticks, "seconds": 5})
    assert [(row["at"], row["low"], row["close"]) for row in found] == [
        (10, 90.0, 100.0), (15, 101.0, 101.0),
    ]  # fmt: skip


def test_what_no_tick_brings_any_more_is_not_shown_beside_new_prices() -> None:
    full = {"mode": 3, "data": {"ltp": 100.0, "change_percent": 1.0, "depth": {"buy": []}}}
    lower = [{"mode": 1, "data": {"ltp": price}} for price in (101.0, 102.0)]
    [found] = ask({"about": "record", "ticks": [full, *lower]})
    assert found == {"data": {"ltp": 102.0}, "mode": 1, "before": 101.0, "heard": 3, "count": 3}
    without = {"mode": 3, "data": {"ltp": 100.0}}
    [found] = ask({"about": "record", "ticks": [full, without]})
    assert found["data"]["depth"] == {"buy": []} and found["before"] is None
