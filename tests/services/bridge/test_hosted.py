"""The bridge without a supervisor: what it publishes of ticks and orders, and of whose."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ext.encode import MarketEncoder
from pipeline.brokers.kite.order_update import order_update
from pipeline.core.enums import Reason
from pipeline.core.instrument import Instrument
from pipeline.core.layout import tick_dtype
from pipeline.instruments import write_store
from pipeline.services.bridge.hosted import Bridge
from pipeline.sim import texts
from pipeline.strategy.items import Gap, OrderUpdate
from pipeline.strategy.items import order_update as order_item
from tests.conftest import wait_until
from tests.services.bridge.proxy import DEADLINE_S, Proxy

INFY, NIFTY, UNKNOWN = 408065, 256265, 999_999
NAMES = {INFY: ("INFY", "NSE"), NIFTY: ("NIFTY", "NSE_INDEX")}
ROWS = [
    Instrument(INFY, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.0, 0.05, 1, 1594),
    Instrument(NIFTY, "NSE", "NIFTY 50", "NIFTY 50", "INDICES", "EQ", "", 0.0, 0.05, 1, 1001),
]
OWNERS = {0: "alice", 1: "bob"}


def ticks_of(*rows: tuple[int, int, int, float]) -> NDArray[Any]:
    """Return ticks of (token, mode, connection, price)."""
    ticks = np.zeros(len(rows), tick_dtype)
    for i, (token, mode, connection, price) in enumerate(rows):
        ticks[i]["instrument_token"], ticks[i]["mode"] = token, mode
        ticks[i]["connection"], ticks[i]["last_price"] = connection, price
        ticks[i]["receive_ts_ns"] = 1_761_157_800_001_000_000
        if mode == 3:
            ticks[i]["bid_price"], ticks[i]["bid_quantity"] = price - 0.05, 7
    return ticks


@pytest.fixture
def market(tmp_path: Path) -> SimpleNamespace:
    """What the bridge asks of a market: names, and whose a connection is."""
    file = tmp_path / "instruments.sqlite"
    write_store(ROWS, file=file, source="test", day=date(2025, 10, 23))
    return SimpleNamespace(
        options=SimpleNamespace(instruments_file=file),
        tokens=np.array([NIFTY, INFY], np.uint32),
        owner_of=lambda number: OWNERS.get(number, ""),
    )


@contextmanager
def bridging(market: SimpleNamespace, proxy: Proxy, *, user: str = "al") -> Iterator[Bridge]:
    """Yield a bridge for alice that the proxy hears."""
    bridge = Bridge(endpoint=proxy.endpoint, owner="alice", user=user, high_water_mark=1000)
    try:
        bridge.on_start(market)  # type: ignore[arg-type]
        hello = ticks_of((INFY, 1, 0, 1.0))

        def heard() -> bool:
            bridge.on_ticks(hello)
            return proxy.take() > 0

        wait_until(heard, timeout_s=DEADLINE_S, what="a first message")
        bridge.on_ticks(ticks_of((INFY, 1, 0, 2.0)))
        wait_until(
            lambda: proxy.take() and json.loads(proxy.frames[-1][1])["ltp"] == 2.0,
            timeout_s=DEADLINE_S, what="a mark",
        )  # fmt: skip
        proxy.frames.clear()
        yield bridge
    finally:
        bridge.on_stop()


def test_each_tick_is_one_message_in_its_mode(market: SimpleNamespace) -> None:
    ticks = ticks_of((INFY, 1, 0, 1573.7), (INFY, 2, 0, 1573.75), (NIFTY, 3, 0, 24_600.5))
    encoder = MarketEncoder()
    for token, names in NAMES.items():
        encoder.name(token, *names, "zerodha")
    with Proxy() as proxy, bridging(market, proxy) as bridge:
        bridge.on_ticks(ticks)
        assert proxy.wait_for(3) == [
            [b"NSE_INFY_LTP", encoder.data(ticks, 0, 1, INFY)],
            [b"NSE_INFY_QUOTE", encoder.data(ticks, 1, 2, INFY)],
            [b"NSE_INDEX_NIFTY_DEPTH", encoder.data(ticks, 2, 3, NIFTY)],
        ]
    assert proxy.frames[0][1] == (
        b'{"symbol":"INFY","exchange":"NSE","mode":"ltp","ltp":1573.7,"ltt":1761157800001,'
        b'"timestamp":1761157800001,"receive_timestamp":1761157800001}'
    )
    book = json.loads(proxy.frames[2][1])["depth"]["buy"]
    assert book[0] == {"price": 24_600.45, "quantity": 7, "orders": 0}


def test_nothing_of_another_owner_goes_out(market: SimpleNamespace) -> None:
    with Proxy() as proxy, bridging(market, proxy) as bridge:
        bridge.on_ticks(ticks_of((INFY, 1, 1, 5.0), (INFY, 1, 7, 6.0), (INFY, 1, 0, 7.0)))
        bridge.on_event(postback(connection=1))
        bridge.on_event(postback(connection=0))
        frames = proxy.wait_for(2)
        assert [frame[0] for frame in frames] == [b"NSE_INFY_LTP", b"ZERODHA_al_orders"]
        assert json.loads(frames[0][1])["ltp"] == 7.0
        assert bridge.foreign == 3


def test_order_updates_are_the_clients_messages(market: SimpleNamespace) -> None:
    item = postback(connection=0)
    assert item.order is not None
    with Proxy() as proxy, bridging(market, proxy) as bridge:
        bridge.on_event(item)
        bridge.on_event(gap())
        [[topic, payload]] = proxy.wait_for(1)
    assert topic == b"ZERODHA_al_orders"
    expected = order_update(item.order, user="al", find={INFY: "NSE:INFY"}.get)
    assert json.loads(payload) == expected
    assert list(json.loads(payload)) == list(expected)


def test_without_a_user_no_order_goes_out(market: SimpleNamespace) -> None:
    with Proxy() as proxy, bridging(market, proxy, user="") as bridge:
        bridge.on_event(postback(connection=0))
        bridge.on_ticks(ticks_of((INFY, 1, 0, 3.0)))
        assert [topic for topic, _ in proxy.wait_for(1)] == [b"NSE_INFY_LTP"]


def test_what_has_no_name_is_counted_and_told_once(
    market: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    with Proxy() as proxy, bridging(market, proxy) as bridge:
        with caplog.at_level(logging.WARNING, "pipeline.services.bridge.hosted"):
            bridge.on_ticks(ticks_of((UNKNOWN, 1, 0, 1.0), (UNKNOWN, 1, 0, 2.0)))
        bridge.on_ticks(ticks_of((UNKNOWN, 1, 0, 3.0), (INFY, 1, 0, 4.0)))
        proxy.wait_for(1)
        assert bridge.unnamed == 3
    assert len([r for r in caplog.records if "not published" in r.message]) == 1


def test_another_list_is_followed(market: SimpleNamespace) -> None:
    """The list of the day comes after the bridge has begun: new instruments, and other names."""
    file = market.options.instruments_file
    rows = [ROWS[0]._replace(tradingsymbol="INFYNEW"), ROWS[1]._replace(instrument_token=UNKNOWN)]
    ticks = ticks_of((INFY, 1, 0, 1.5), (UNKNOWN, 1, 0, 2.5))
    with Proxy() as proxy, bridging(market, proxy) as bridge:
        bridge.on_ticks(ticks)
        write_store(rows, file=file, source="test", day=date(2025, 10, 24), force=True)
        bridge._next_look_ns = 0
        bridge.on_ticks(ticks)
        file.unlink()
        bridge._next_look_ns = 0
        bridge.on_ticks(ticks)
        found = [(topic, json.loads(payload)["symbol"]) for topic, payload in proxy.wait_for(5)]
    day = [(b"NSE_INFYNEW_LTP", "INFYNEW"), (b"NSE_INDEX_NIFTY_LTP", "NIFTY")]
    assert found == [(b"NSE_INFY_LTP", "INFY"), *day, *day]
    assert bridge.unnamed == 1


def test_a_broken_list_ends_nothing(
    market: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    market.options.instruments_file.write_bytes(b"no database")
    bridge = Bridge(endpoint="tcp://127.0.0.1:9", owner="alice", user="", high_water_mark=10)
    bridge.on_start(market)  # type: ignore[arg-type]
    bridge.on_ticks(ticks_of((INFY, 1, 0, 1.0)))
    bridge.on_stop()
    assert bridge.unnamed == 1
    assert "not published" in caplog.text


def test_the_end_says_what_became_of_everything(
    market: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = Bridge(endpoint="tcp://127.0.0.1:9", owner="alice", user="", high_water_mark=10)
    bridge.on_start(market)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "pipeline.services.bridge.hosted"):
        bridge.on_ticks(ticks_of((INFY, 1, 0, 1.0), (INFY, 1, 1, 1.0), (UNKNOWN, 1, 0, 1.0)))
        bridge.on_stop()
    told = " ".join(record.message for record in caplog.records)
    assert "1 not taken by tcp://127.0.0.1:9: nobody is connected there" in told
    assert "0 published, 0 dropped at the high-water mark, 1 while no proxy was connected" in told
    assert "1 of instruments without a name, 1 of other owners" in told


def postback(*, connection: int) -> OrderUpdate:
    message: dict[str, Any] = {
        "payload": texts.order(7, 1_761_157_800.0, user="AB1234", changes={}).encode(),
        "connection_epoch": 1, "sequence": 0, "receive_ts_ns": 1, "receive_mono_ns": 1,
    }  # fmt: skip
    return order_item(connection, message)


def gap() -> Gap:
    return Gap(
        connection=0, connection_epoch=1, reason=Reason.RESET, start_ts_ns=1, end_ts_ns=2,
        start_mono_ns=1, end_mono_ns=2, tick_sequence=0,
    )  # fmt: skip
