"""The official mock packets decode to their JSON; found by KITE_MOCKS, skipped without it.

KITE_MOCKS names a checkout of the public kiteconnect-mocks repository. Its `change` is absolute,
and ours is percent, as KiteTicker's; everything else is compared exactly.
"""

from __future__ import annotations

import base64
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import pipeline
from pipeline.brokers.kite import wire
from pipeline.brokers.kite.session import KiteSession
from pipeline.brokers.kite.symbols import exchange_token_of, read_instruments
from tests.brokers import kite_frames as make

pytestmark = pytest.mark.skipif(
    "KITE_MOCKS" not in os.environ,
    reason="KITE_MOCKS is not set: point it to a checkout of kiteconnect-mocks",
)
KOLKATA = ZoneInfo("Asia/Kolkata")

#: The mocks still carry the names of an older API version.
RENAMED = {
    "last_quantity": "last_traded_quantity",
    "average_price": "average_traded_price",
    "volume": "volume_traded",
    "buy_quantity": "total_buy_quantity",
    "sell_quantity": "total_sell_quantity",
    "timestamp": "exchange_timestamp",
}


@pytest.fixture
def mocks() -> Path:
    return Path(os.environ["KITE_MOCKS"])


def _expected(document: dict[str, Any]) -> dict[str, Any]:
    expected = {RENAMED.get(name, name): value for name, value in document.items()}
    del expected["change"]
    for name in ("last_trade_time", "exchange_timestamp"):
        if name in expected:
            expected[name] = datetime.fromisoformat(expected[name])
    return expected


@pytest.mark.parametrize("kind", ["quote", "full"])
def test_official_packet_decodes_to_its_json(mocks: Path, kind: str) -> None:
    body = base64.b64decode((mocks / f"ticker_{kind}.packet").read_text())
    document = json.loads((mocks / f"ticker_{kind}.json").read_text())
    frame = make.frame(body)
    ticks = pipeline.decode_frame("kite", frame)
    assert make.bits(ticks) == make.bits(wire.decode_frame(frame))
    (tick,) = pipeline.to_kite_dicts(ticks, tz=KOLKATA)
    close = document["ohlc"]["close"]
    assert tick.pop("change") == (document["last_price"] - close) * 100 / close
    assert tick == _expected(document)


def test_order_postback_is_an_order_message(mocks: Path) -> None:
    order = json.loads((mocks / "postback.json").read_text())
    text = json.dumps({"type": "order", "data": order}).encode()
    message = KiteSession().parse_text(text)
    assert (message.kind.value, message.data) == ("order", order)


@pytest.mark.parametrize("name", ["instruments_all.csv", "instruments_nse.csv"])
def test_official_instrument_list_is_read(mocks: Path, name: str) -> None:
    with (mocks / name).open() as lines:
        rows = list(read_instruments(lines))
    assert len(rows) > 10
    assert all(row.key.startswith(f"{row.exchange}:") for row in rows)
    assert all(exchange_token_of(row.instrument_token) > 0 for row in rows)
