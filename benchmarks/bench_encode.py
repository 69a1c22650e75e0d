"""Tick records to market data messages, ready for a socket.

    [TickC, 320 bytes] -> market_put_message -> [bytes: a WebSocket frame]

A regression here is paid for every tick that a client wants, once for each mode: it lowers what a
gateway's process can serve before its own sending begins.

The peers get the finished dict of each message and only write it; a gateway on them has to make
that dict of the tick first, which the last line of each group shows. Theirs is without the frame's
header too. All ticks are distinct.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import frames as make
from benchmarks.figures import CPU_TIME, Meter
from ext.decode import decode_frame_kite
from ext.encode import MarketEncoder
from pipeline.core.layout import tick_dtype
from pipeline.strategy.kite_dicts import to_kite_dicts

pytestmark = CPU_TIME
TICKS = 3000
MODES = {"ltp": 1, "quote": 2, "depth": 3}
RECEIVE_TS_NS = 1_761_157_800_001_234_567


def _ticks() -> NDArray[Any]:
    ticks = np.empty(TICKS, tick_dtype)
    for start, frame in enumerate(make.full_frames(TICKS // 100, 100)):
        decoded = decode_frame_kite(frame, receive_ts_ns=RECEIVE_TS_NS)
        ticks[start * 100 : start * 100 + 100] = decoded
    return ticks


def _encoder(ticks: NDArray[Any]) -> MarketEncoder:
    encoder = MarketEncoder()
    for token in ticks["instrument_token"].tolist():
        encoder.name(token, f"NIFTY25DEC{token}CE", "NFO", "zerodha")
    return encoder


def _messages(mode: int) -> list[dict[str, Any]]:
    ticks = _ticks()
    encoder = _encoder(ticks)
    tokens = ticks["instrument_token"].tolist()
    return [json.loads(encoder.message(ticks, i, mode, token)) for i, token in enumerate(tokens)]


@pytest.mark.parametrize("name", MODES)
def test_frame(meter: Meter, name: str) -> None:
    ticks, mode = _ticks(), MODES[name]
    encoder, tokens = _encoder(ticks), ticks["instrument_token"].tolist()

    def run() -> None:
        for i, token in enumerate(tokens):
            encoder.frame(ticks, i, mode, token)

    meter.measure(run, units=TICKS, case="frame()", group=f"encode, {name}", unit="ns/frame")


def _peer(library: str) -> Callable[[object], object]:
    if library == "json":
        return lambda message: json.dumps(message).encode()
    if library == "orjson":
        return pytest.importorskip("orjson").dumps  # type: ignore[no-any-return]
    return pytest.importorskip("msgspec").json.Encoder().encode  # type: ignore[no-any-return]


@pytest.mark.parametrize("library", ["orjson", "msgspec", "json"])
@pytest.mark.parametrize("name", MODES)
def test_peers(meter: Meter, name: str, library: str) -> None:
    encode, messages = _peer(library), _messages(MODES[name])

    def run() -> None:
        for message in messages:
            encode(message)

    meter.rounds = min(meter.rounds, 10)
    meter.measure(
        run, units=TICKS, case=f"{library}, of a finished dict (peer)", group=f"encode, {name}",
        unit="ns/frame", is_peer=True,
    )  # fmt: skip


def test_dict_of_a_tick(meter: Meter) -> None:
    """What comes before, for who writes JSON of dicts: a hundred full ticks a call."""
    ticks = _ticks()
    parts = [ticks[i : i + 100] for i in range(0, TICKS, 100)]

    def run() -> None:
        for part in parts:
            to_kite_dicts(part)

    meter.rounds = min(meter.rounds, 5)
    meter.measure(
        run, units=TICKS, case="to_kite_dicts: the dict alone (peer)", group="encode, depth",
        unit="ns/frame", is_peer=True,
    )  # fmt: skip
