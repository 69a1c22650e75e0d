"""A window of options that follows its index, against the simulated exchange."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pipeline
from pipeline.cli import main
from pipeline.core.control import Ask
from pipeline.core.enums import Mode
from pipeline.instruments import load
from pipeline.sim.control import ControlClient
from pipeline.strategy.market import Market
from tests.system.judge import control_of
from tests.system.pool_client import PoolClient
from tests.system.rig import Run, wait_for
from tests.system.test_pool import wire_of

Make = Callable[..., Run]

NIFTY = 256265
FORM = "NFO:NIFTY@weekly:atm+-2"
POOL = "linger_s = 60\nconfirm_after_s = 60\nwindow_check_s = 0.2\nwindow_interval_s = 0.5"
# An index carries its sequence in some 41 rupees of its price: around 24,600 and 24,800 all of them
# are nearest to one strike.
RUPEES = 200


def options(file: Path, strikes: str) -> set[int]:
    return set(load(file).resolve([f"NFO:NIFTY@weekly:{strikes}"]).require())


def settle(run: Run, market: Market, wanted: set[int]) -> None:
    """Wait until these are on the wire with their index, and the market knows them as its own."""
    wish = {NIFTY: int(Mode.LTP)} | dict.fromkeys(wanted, int(Mode.FULL))
    wait_for(lambda: wire_of(run) == wish, "the window on the wire")
    wait_for(lambda: market.demand().tokens() == wanted, "the market to know its options")


def in_full(market: Market, wanted: set[int]) -> None:
    """Wait until all of these tick in full mode: the exchange has taken every command."""
    tokens = sorted(wanted)
    wait_for(lambda: (market.latest(tokens)["mode"] == Mode.FULL).all(), "full packets of all")


def exchange_with(exchange: ControlClient, count: int) -> dict[str, Any] | None:
    """Return the exchange's counts once so many instruments are subscribed to there."""
    found = exchange.command("stat")
    return found if sum(c["subscribed"] for c in found["clients"]) == count else None


def test_the_index_moves_and_the_window_follows(make_run: Make, tmp_path: Path) -> None:
    file = tmp_path / "list.sqlite"
    line = ["instruments", "sync", "--simulated", "--file", str(file), "--rows", "9000"]
    assert main.run(line) == 0
    run = make_run(pool=POOL, connections=90, more=f'[instruments]\nfile = "{file}"\n')
    run.start_and_wait()
    with pipeline.attach(run.paths.name, name="s", shm_directory=run.paths.root) as market:
        assert market.subscribe(FORM, mode="full", follow=True).accepted == 11
        settle(run, market, options(file, "24500..24700"))
        in_full(market, options(file, "24500..24700"))
        with control_of(run) as exchange:
            before = exchange.command("stat")
            assert exchange.command("shift", instrument=NIFTY, rupees=RUPEES)["shifted"] is True
            settle(run, market, options(file, "24700..24900"))
            in_full(market, options(file, "24850..24900"))
            after = wait_for(lambda: exchange_with(exchange, 11), "the old strikes to be given up")
        assert after["sessions"] == before["sessions"], "a reconnect"
        (old,), (new,) = before["clients"], after["clients"]
        assert new["commands"] - old["commands"] <= 3, "unsubscribe, subscribe, mode: one batch"

        killed = run.kill("control 0")
        wait_for(lambda: run.pid("control 0") not in (None, 0, killed), "its successor")
        with PoolClient(run, "t") as client:
            wait_for(lambda: client.ask(Ask(about="windows")), "the window to come back")
            (window,) = client.ask(Ask(about="windows"))
            assert window["client"].startswith("s.") and window["centre"] == 24_800
            settle(run, market, options(file, "24700..24900"))
            assert market.unsubscribe(FORM) == 10
            assert client.ask(Ask(about="windows")) == []
        with control_of(run) as exchange:
            assert exchange.command("stat")["sessions"] == before["sessions"]
        assert run.stop() == 0
    run.assert_nothing_left()
