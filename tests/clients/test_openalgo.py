"""PyPI's `openalgo`, both generations, unmodified against the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.instruments.openalgo import openalgo_key
from pipeline.instruments.store import today_in_india
from pipeline.instruments.synthetic import synthetic_instruments
from tests.clients.sdk import sdk_python
from tests.clients.sdk import session as sdk_session
from tests.clients.session import Session
from tests.clients.witness import Witness, assert_silent, assert_slice, witness
from tests.conftest import wait_until
from tests.system.gateway_rig import GatewayRun, gateway_config
from tests.system.http_client import API, HttpClient
from tests.system.judge import control_of
from tests.system.rig import Run

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

Make = Callable[..., Run]
INFY = {"exchange": "NSE", "symbol": "INFY"}
NIFTY = {"exchange": "NSE_INDEX", "symbol": "NIFTY"}
TOKENS = {"NSE:INFY": 408065, "NSE_INDEX:NIFTY": 256265}
SIMULATOR = "rate = 60.0\ninterval_s = 0.1"
COUNT = 30
#: What the SDK copies of a quote; what a message has not, it calls 0.
QUOTE_FIELDS = (
    "open", "high", "low", "close", "ltp", "volume", "last_trade_quantity", "avg_trade_price",
    "change", "change_percent", "timestamp",
)  # fmt: skip


@pytest.fixture(params=[1, 2], ids=["1.x", "2.x"])
def generation(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    sdk_python(value)  # before anything is started
    return value


@pytest.fixture
def gateway(generation: int, make_run: Make, tmp_path: Path) -> Iterator[GatewayRun]:
    """A run with a pool and a gateway, whose parts all have to end well."""
    run = make_run(
        connections=1, count=COUNT, pool="", simulator=SIMULATOR, more=gateway_config(tmp_path)
    )
    yield GatewayRun(run.start())
    assert run.stop() == 0
    run.assert_nothing_left()


def seen(messages: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the payloads of an instrument."""
    return [m["data"] for m in messages if f"{m['exchange']}:{m['symbol']}" == key]


def expected(truth: Witness, key: str, mode: int) -> list[dict[str, Any]]:
    """Return what the SDK makes of each tick of an instrument in a mode."""
    exchange, _, symbol = key.partition(":")
    rows = truth.data(TOKENS[key], mode, symbol, exchange)
    if mode == 1:
        return [{name: row[name] for name in ("ltp", "timestamp", "ltt")} for row in rows]
    if mode == 2:
        return [{name: row.get(name, 0) for name in QUOTE_FIELDS} for row in rows]
    names = ("ltp", "timestamp", "depth")
    return [{name: row[name] for name in names} for row in rows if "depth" in row]


def test_every_mode_has_the_right_values_until_it_is_given_up(
    gateway: GatewayRun, generation: int
) -> None:
    with (
        sdk_session(generation, gateway.url, gateway.key()) as session,
        witness(gateway.run) as truth,
    ):
        assert session.call("connect") is True
        assert session.call("subscribe_ltp", [INFY, NIFTY]) is True
        session.wait_for("ltp", 10)
        assert session.call("subscribe_quote", [INFY, NIFTY]) is True
        assert session.call("subscribe_depth", [INFY]) is True
        for kind in ("ltp", "quote", "depth"):
            session.wait_for(kind, 40)
        latest = session.call("get_ltp")["ltp"]["NSE"]["INFY"]
        assert latest["ltp"] > 0
        for kind in ("ltp", "quote", "depth"):
            instruments = [INFY] if kind == "depth" else [INFY, NIFTY]
            assert session.call(f"unsubscribe_{kind}", instruments) is True
        assert_silent(session)
        check_values(session, truth)


def check_values(session: Session, truth: Witness) -> None:
    for mode, kind in enumerate(("ltp", "quote", "depth"), 1):
        for key in TOKENS if kind != "depth" else ["NSE:INFY"]:
            found = seen(session.messages[kind], key)
            wait_until(
                lambda found=found, key=key, mode=mode: found[-1] in expected(truth, key, mode),
                timeout_s=30.0, what="the witness to have read as far",
            )  # fmt: skip
            assert_slice(found, expected(truth, key, mode), f"{key} in {kind}")
    for message in session.messages["depth"]:
        book = message["data"]["depth"]
        assert [len(book["buy"]), len(book["sell"])] == [5, 5]


def test_a_bad_key_is_refused(gateway: GatewayRun, generation: int) -> None:
    key = gateway.key()
    with sdk_session(generation, gateway.url, f"{key[:-4]}AAAA") as session:
        assert session.call("connect") is False
        assert session.call("subscribe_ltp", [INFY]) is False
        assert session.messages["ltp"] == []
    with sdk_session(generation, gateway.url, key) as session:
        assert session.call("connect") is True


def test_an_unknown_symbol_ends_nothing(gateway: GatewayRun, generation: int) -> None:
    with sdk_session(generation, gateway.url, gateway.key()) as session:
        assert session.call("connect") is True
        unknown = {"exchange": "NSE", "symbol": "NOSUCH"}
        assert session.call("subscribe_ltp", [unknown, INFY]) is True
        session.wait_for("ltp", 5)
        assert {m["symbol"] for m in session.messages["ltp"]} == {"INFY"}


def test_a_new_gateway_gives_back_what_was_subscribed(gateway: GatewayRun, generation: int) -> None:
    with sdk_session(generation, gateway.url, gateway.key()) as session:
        assert session.call("connect") is True
        assert session.call("subscribe_ltp", [INFY]) is True
        session.wait_for("ltp", 5)
        pid = gateway.run.kill("gateway")
        wait_until(
            lambda: gateway.run.pid("gateway") not in (0, pid), timeout_s=60.0, what="another one"
        )
        if generation == 1:  # it does not come back by itself
            session.call("disconnect")
            wait_until(lambda: session.call("connect"), timeout_s=60.0, what="a connection")
            assert session.call("subscribe_ltp", [INFY]) is True
        session.messages["ltp"].clear()
        session.wait_for("ltp", 10)


def test_order_updates_reach_their_owner(gateway: GatewayRun, generation: int) -> None:
    if generation == 1:
        return  # the SDK had none yet
    with (
        sdk_session(generation, gateway.url, gateway.key()) as session,
        control_of(gateway.run) as exchange,
    ):
        assert session.call("connect") is True
        assert session.call("subscribe_ltp", [INFY]) is True
        assert session.call("subscribe_orders") is True
        session.wait_for("ltp", 3)
        exchange.command("order", data={"status": "COMPLETE", "order_id": "7", "quantity": 5})
        session.wait_for("order", 1)
        [order] = session.messages["order"]
        found = [order[name] for name in ("orderid", "order_status", "quantity", "user_id")]
        assert found == ["7", "complete", 5, "alice"]


def test_thousands_in_one_message(generation: int, make_run: Make, tmp_path: Path) -> None:
    """2.x asks for all of them at once, 1.x for one each tenth of a second."""
    if generation == 1:
        return
    listed = synthetic_instruments(today_in_india(), rows=9000)
    names = [openalgo_key(instrument).split(":") for instrument in islice(listed, 3000)]
    instruments = [{"exchange": exchange, "symbol": symbol} for exchange, symbol in names]
    run = make_run(
        connections=3, count=3000, pool="", simulator="rate = 3000.0",
        more=gateway_config(tmp_path),
    )  # fmt: skip
    gateway = GatewayRun(run.start())
    with sdk_session(2, gateway.url, gateway.key()) as session:
        assert session.call("connect") is True
        assert session.call("subscribe_ltp", instruments) is True
        found: set[str] = set()

        def all_came() -> bool:
            messages = session.messages["ltp"]
            found.update(f"{m['exchange']}:{m['symbol']}" for m in messages)
            messages.clear()
            return len(found) == 3000

        wait_until(all_came, timeout_s=120.0, what="a tick of each")
        assert found == {":".join(name) for name in names}
    assert run.stop() == 0
    run.assert_nothing_left()


def test_the_http_half_answers(generation: int, make_run: Make, tmp_path: Path) -> None:
    run = make_run(
        connections=1, count=30, pool="", simulator=SIMULATOR, more=gateway_config(tmp_path) + API
    )
    gateway = GatewayRun(run.start())
    host = f"http://127.0.0.1:{HttpClient(run).port}"
    key = gateway.key()
    with sdk_session(generation, gateway.url, key, host) as session, witness(run) as truth:
        quotes = session.call("quotes", INFY)
        assert quotes["status"] == "success", quotes
        many = session.call("multiquotes", {"symbols": [INFY, NIFTY]})
        assert [row["symbol"] for row in many["results"]] == ["INFY", "NIFTY"]
        prices = {float(tick["last_price"]) for tick in truth.ticks(TOKENS["NSE:INFY"])}
        assert {quotes["data"]["ltp"], many["results"][0]["data"]["ltp"]} <= prices
        depth = session.call("depth", INFY)["data"]
        assert (len(depth["bids"]), len(depth["asks"])) == (5, 5)
        assert session.call("symbol", INFY)["data"]["token"]
        assert session.call("search", {"query": "INFY", "exchange": "NSE"})["status"] == "success"
        listed = session.call("instruments", {"exchange": "NSE"})
        assert {("NSE", "INFY")} <= {(row["exchange"], row["symbol"]) for row in listed}
        assert session.call("intervals")["status"] == "success"
        history = {**INFY, "interval": "1m", "start_date": "2025-01-01", "end_date": "2025-01-02"}
        assert session.call("history", history)["status"] == "error"
        unknown = {"exchange": "NSE", "symbol": "NOSUCH"}
        assert session.call("quotes", unknown)["status"] == "error"
    assert run.stop() == 0
    run.assert_nothing_left()
