"""What the tests of the facade share: an exchange, and tickers that are ended whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.kite import KiteTicker
from tests.sim.harness import Simulator, simulator


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Simulator]:
    """A simulated exchange with 200 instruments, all of which move each 20 ms."""
    options = ("--instruments", "200", "--interval", "0.02", "--rate", "max")
    with simulator(tmp_path, *options) as running:
        yield running


@pytest.fixture
def make_ticker(
    shm_root: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[..., KiteTicker]]:
    """Return a maker of tickers whose instances lie in this test's own directory."""
    caplog.set_level(logging.INFO, "pipeline.kite")
    made: list[KiteTicker] = []

    def make(root: str, *, token: str = "demo", **options: object) -> KiteTicker:
        ticker = KiteTicker("demo", token, root=root, shm_directory=shm_root, **options)  # type: ignore[arg-type]
        made.append(ticker)
        return ticker

    yield make
    for ticker in made:
        ticker.stop()
        if ticker.websocket_thread is not None:
            ticker.websocket_thread.join(60)
            assert not ticker.websocket_thread.is_alive()
