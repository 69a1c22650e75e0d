"""The bridge in an instance: what a proxy hears is what the streams hold, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pipeline
from ext.encode import MarketEncoder
from pipeline.instruments import write_store
from pipeline.instruments.synthetic import synthetic_instruments
from pipeline.services.bridge.topics import market_topics
from pipeline.services.status import snapshot
from tests.services.bridge.proxy import Proxy
from tests.system.judge import control_of
from tests.system.rig import Run, wait_for

COUNT = 12
MESSAGES = 300


def test_the_proxy_hears_every_tick_byte_for_byte_and_every_order(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    file = tmp_path / "instruments.sqlite"
    write_store(synthetic_instruments(date(2025, 10, 23), rows=40), file=file, source="test")
    with Proxy() as proxy:
        run = make_run(
            connections=1, count=COUNT, simulator="rate = 200.0\ninterval_s = 0.05",
            more=f'[instruments]\nfile = "{file}"\n'
            f'[zeromq]\nendpoint = "{proxy.endpoint}"\nuser = "alice"\n',
        )  # fmt: skip
        run.start_and_wait()
        market = pipeline.attach("system", shm_directory=run.paths.root, from_="oldest")
        with market, control_of(run) as exchange:
            wait_for(proxy.take, "the bridge to be connected")
            exchange.command("order")
            wait_for(lambda: proxy.take() >= MESSAGES, "messages")
            run.kill("strategy zeromq")
            wait_for(lambda: proxy.take() >= 2 * MESSAGES, "messages of its successor")
            expected = expected_frames(market, file, last=proxy.frames[-1])
        orders = [frame for frame in proxy.frames if frame[0] == b"ZERODHA_alice_orders"]
        heard = [frame for frame in proxy.frames if frame not in orders]
        assert pieces(heard, expected) <= 2, "what lay in the queue of the one that was killed"
        assert {frame[0].rpartition(b"_")[2] for frame in heard} <= {b"QUOTE", b"DEPTH"}
        [order] = [json.loads(payload) for _, payload in orders]
        assert (order["type"], order["user_id"]) == ("order_update", "alice")
        before = dropped(run)
        proxy.close()
        wait_for(lambda: dropped(run) > before + 20, "what nobody takes to be counted")
        assert run.stop() == 0
    assert "published, 0 dropped at the high-water mark" in run.log.read_text()


def dropped(run: Run) -> int:
    """Return what `stat` shows of the bridge."""
    [bridge] = snapshot(run.paths).strategies
    assert bridge.name == "zeromq"
    return bridge.dropped


def pieces(heard: list[list[bytes]], expected: list[list[bytes]]) -> int:
    """Return how many unbroken pieces of what was expected make up what was heard, in order."""
    count = 0
    at = -1
    for frame in heard:
        if not 0 <= at < len(expected) or frame != expected[at]:
            count += 1
            at = expected.index(frame, max(at, 0))
        at += 1
    return count


def expected_frames(market: pipeline.Market, file: Path, *, last: list[bytes]) -> list[list[bytes]]:
    """Return what the bridge had to say of the ticks, from the first one to one that was last."""
    catalogue = pipeline.instruments.load(file)
    encoder, topics = MarketEncoder(), {}
    for token in market.tokens.tolist():
        exchange, _, symbol = catalogue.openalgo_key(catalogue.find(token)).partition(":")
        encoder.name(token, symbol, exchange, "zerodha")
        topics[token] = market_topics(exchange, symbol)
    frames: list[list[bytes]] = []
    for ticks in market.batches(timeout_s=30.0):
        for i, (token, mode) in enumerate(ticks[["instrument_token", "mode"]].tolist()):
            frames.append([topics[token][mode], encoder.data(ticks, i, mode, token)])
        if last in frames:
            return frames
    raise AssertionError("the instance ended")
