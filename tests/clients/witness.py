"""What clients ought to be told: every tick of the streams, said by the encoder's plain twin."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import pipeline
from pipeline.core.errors import InstanceEnded
from tests.clients.session import Session
from tests.ext import market_twin
from tests.ext.market_twin import Text
from tests.system.rig import Run

PAUSE_S = 1.0


class Witness:
    """A reader of its own beside the gateway; ticks are kept as they came."""

    def __init__(self, market: pipeline.Market) -> None:
        self._market = market
        self._batches: list[np.ndarray[Any, Any]] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for ticks in self._market.batches(timeout_s=0.1):
                if len(ticks):
                    self._batches.append(ticks.copy())
        except InstanceEnded:
            pass

    def close(self) -> None:
        """Read no more."""
        self._market.stop()
        self._thread.join()

    def ticks(self, token: int) -> list[Any]:
        """Return the ticks of an instrument so far, in their order."""
        batches = list(self._batches)
        return [tick for ticks in batches for tick in ticks[ticks["instrument_token"] == token]]

    def data(self, token: int, mode: int, symbol: str, exchange: str) -> list[dict[str, Any]]:
        """Return the `data` that each tick comes to in a mode."""
        return [plain(market_twin.data(tick, mode, symbol, exchange)) for tick in self.ticks(token)]


@contextmanager
def witness(run: Run) -> Iterator[Witness]:
    """Yield a witness of a run; nothing may be lost by it."""
    market = pipeline.attach(
        run.paths.name, shm_directory=run.paths.root, name="witness", from_="oldest", wait_s=30.0
    )
    with market:
        found = Witness(market)
        try:
            yield found
        finally:
            found.close()
        assert market.lost == 0


def plain(value: Any) -> Any:
    """Return a value of the twin with floats for its texts of numbers."""
    if isinstance(value, Text):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def as_json(value: Any) -> Any:
    """Return a value as JavaScript writes it: it knows no 24600.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value


def assert_slice(found: list[Any], expected: list[Any], what: str) -> None:
    """Fail unless what was found is a piece of what was expected: nothing left out, or else."""
    assert found, f"nothing of {what}"
    size = len(found)
    exact = [repr(item) for item in found]  # which tells 1 from 1.0
    reference = [repr(item) for item in expected]
    for start, item in enumerate(reference):
        if item == exact[0] and reference[start : start + size] == exact:
            return
    near = reference.index(exact[0]) if exact[0] in reference else -1
    raise AssertionError(f"{what}: {size} messages are no piece of {len(reference)}; from {near}")


def assert_silent(session: Session) -> None:
    """Fail unless messages stop coming, and stay away for many times the pause between two."""
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        before = session.counts()
        time.sleep(PAUSE_S)
        if session.counts() == before:
            time.sleep(PAUSE_S)
            assert session.counts() == before, "messages came again after a pause"
            return
    raise AssertionError("messages go on coming after everything was unsubscribed")
