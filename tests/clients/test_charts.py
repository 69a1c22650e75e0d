"""npm's `openalgo-charts`, unmodified under Node against the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.node import installed, node, websocket_switch
from tests.clients.session import Session
from tests.clients.witness import Witness, as_json, assert_silent, assert_slice, witness
from tests.conftest import wait_until
from tests.system.gateway_rig import GatewayRun, gateway_config
from tests.system.judge import control_of
from tests.system.rig import Run

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

Make = Callable[..., Run]
PACKAGE = {"private": True, "dependencies": {"openalgo-charts": "1.3.0"}}
PROGRAM = Path(__file__).with_name("charts_session.mjs")
SIMULATOR = "rate = 60.0\ninterval_s = 0.1"
SUBSCRIBED = [("LTP", "NIFTY", "NSE_INDEX"), ("Quote", "RELIANCE", "NSE"), ("Depth", "INFY", "NSE")]
TOKENS = {"NIFTY": 256265, "RELIANCE": 738561, "INFY": 408065}


@pytest.fixture
def line() -> list[str]:
    """The command line of a session with the package."""
    installed("openalgo-charts", PACKAGE)  # before anything is started
    return [node(), "--no-warnings", *websocket_switch(node()), str(PROGRAM)]


@pytest.fixture
def gateway(line: list[str], make_run: Make, tmp_path: Path) -> Iterator[GatewayRun]:
    run = make_run(
        connections=1, count=30, pool="", simulator=SIMULATOR, more=gateway_config(tmp_path)
    )
    yield GatewayRun(run.start())
    assert run.stop() == 0
    run.assert_nothing_left()


def charts(line: list[str], gateway: GatewayRun, key: str) -> Session:
    folder = installed("openalgo-charts", PACKAGE)
    module = folder / "node_modules" / "openalgo-charts" / "dist" / "openalgo-charts.mjs"
    return Session(line, gateway.url, key, CHARTS_MODULE=module.as_uri())


def ltp_event(row: dict[str, Any]) -> dict[str, Any]:
    """Return what the library makes of a message without a book."""
    event = {
        "symbol": row["symbol"], "exchange": row["exchange"], "ltp": row["ltp"],
        "ltq": row.get("last_trade_quantity"), "volume": row.get("volume"),
        "timeSec": row["timestamp"] // 1000,
    }  # fmt: skip
    return {name: value for name, value in event.items() if value is not None}


def depth_event(row: dict[str, Any]) -> dict[str, Any]:
    sides = {
        name: [{"price": level["price"], "qty": level["quantity"]} for level in row["depth"][side]]
        for name, side in (("bids", "buy"), ("asks", "sell"))
    }
    book = {**sides, "ltp": row["ltp"]}
    return {"symbol": row["symbol"], "exchange": row["exchange"], "depth": book}


def expected(truth: Witness, mode: int, symbol: str, exchange: str) -> tuple[list[Any], list[Any]]:
    """Return the (ltp, depth) events of an instrument in a mode."""
    rows = truth.data(TOKENS[symbol], mode, symbol, exchange)
    return (
        [ltp_event(row) for row in rows if "depth" not in row],
        [depth_event(row) for row in rows if "depth" in row],
    )


def test_every_event_has_the_right_values_until_it_is_given_up(
    gateway: GatewayRun, line: list[str]
) -> None:
    with charts(line, gateway, gateway.key()) as session, witness(gateway.run) as truth:
        session.say("connect")  # it authenticates and subscribes in one go
        for mode, symbol, exchange in SUBSCRIBED:
            session.say("subscribe", mode, symbol, exchange, *([5] if mode == "Depth" else []))
        session.wait_for("ltp", 60)
        session.wait_for("depth", 30)
        for mode, symbol, exchange in SUBSCRIBED:
            session.say("unsubscribe", mode, symbol, exchange)
        assert_silent(session)
        for number, (mode, symbol, exchange) in enumerate(SUBSCRIBED, 1):
            for kind, at in (("ltp", 0), ("depth", 1)):
                found = [e for e in session.messages[kind] if e["symbol"] == symbol]
                if found:
                    wait_until(
                        lambda found=found, number=number, symbol=symbol, at=at, exchange=exchange:
                        found[-1] in as_json(expected(truth, number, symbol, exchange)[at]),
                        timeout_s=30.0, what="the witness to have read as far",
                    )  # fmt: skip
                    rows = as_json(expected(truth, number, symbol, exchange)[at])
                    assert_slice(found, rows, f"{symbol} in {mode}")
        assert {event["symbol"] for event in session.messages["depth"]} == {"INFY"}
        assert {"NIFTY", "RELIANCE"} <= {event["symbol"] for event in session.messages["ltp"]}
        types = {message.get("type") for message in session.messages["control"]}
        assert types == {"auth", "subscribe", "unsubscribe"}


def test_a_new_gateway_gives_back_what_was_subscribed(gateway: GatewayRun, line: list[str]) -> None:
    with charts(line, gateway, gateway.key()) as session:
        session.say("connect")
        session.say("subscribe", "LTP", "INFY", "NSE")
        session.wait_for("ltp", 5)
        gateway.run.kill("gateway")
        wait_until(
            lambda: session.messages["state"].count("open") >= 2, timeout_s=60.0, what="another one"
        )
        session.messages["ltp"].clear()
        session.wait_for("ltp", 10)


def test_a_bad_key_gets_nothing(gateway: GatewayRun, line: list[str]) -> None:
    with charts(line, gateway, "no.key") as session:
        session.say("connect")
        session.say("subscribe", "LTP", "INFY", "NSE")
        wait_until(
            lambda: [m for m in session.messages["control"] if m.get("status") == "error"],
            timeout_s=60.0, what="an error",
        )  # fmt: skip
        assert session.messages["control"][0]["code"] == "AUTHENTICATION_ERROR"
        assert_silent(session)
        assert session.messages["ltp"] == []


def test_order_updates_reach_their_owner(gateway: GatewayRun, line: list[str]) -> None:
    with (
        charts(line, gateway, gateway.key()) as session,
        control_of(gateway.run) as exchange,
    ):
        session.say("connect")
        session.say("subscribe", "LTP", "INFY", "NSE")
        session.say("subscribeOrders")
        session.wait_for("ltp", 3)
        exchange.command(
            "order", data={"status": "REJECTED", "status_message": "no", "quantity": 5}
        )
        session.wait_for("order", 1)
        [order] = session.messages["order"]
        assert (order["status"], order["rejectionReason"], order["quantity"]) == (
            "rejected",
            "no",
            5,
        )
