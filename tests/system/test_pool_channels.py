"""The same ticks by every channel: all merged, tagged by account, one connection's, raw frames."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

import pipeline
from pipeline.core.errors import InstanceEnded
from pipeline.core.instruments import simulated_tokens
from pipeline.strategy.items import RawFrame, TaggedTicks
from pipeline.strategy.market import Market
from tests.system.rig import Run, wait_for
from tests.system.test_pool import complete

Make = Callable[..., Run]

POOL = "instruments_per_connection = 50\nheadroom = 0.0"
SECOND = '[[account]]\nname = "second"\nurl = "simulator"\napi_key = "demo2"\n'
OF_ACCOUNT = {
    "exchange": simulated_tokens(0, 100),
    "second": simulated_tokens(100, 100),
}
TICKS = 3000
#: Nobody is lapped while the run is being ended, however long that takes.
ROOMY = "packets_per_instrument_per_s = 100.0\ntick_records = 65536"


class Channels:
    """A reader of each kind, and what they were handed, by (connection, sequence)."""

    def __init__(self, run: Run) -> None:
        self.markets = [
            pipeline.attach(run.paths.name, name=name, from_="oldest", shm_directory=run.paths.root)
            for name in ("merged", "tagged", "raw")
        ]
        self.merged: list[np.ndarray[Any, Any]] = []
        self.by_account: dict[str, list[np.ndarray[Any, Any]]] = defaultdict(list)
        self.frames: dict[tuple[int, int], RawFrame] = {}
        merged, tagged, raw = self.markets
        self._sources: list[tuple[Any, Callable[[Any], bool]]] = [
            (merged.batches(timeout_s=0), self._take_merged),
            (tagged.tagged(timeout_s=0), self._take_tagged),
            (raw.frames(timeout_s=0, from_="oldest"), self._take_frame),
        ]

    def _take_merged(self, ticks: np.ndarray[Any, Any]) -> bool:
        self.merged.append(ticks.copy())
        return len(ticks) > 0

    def _take_tagged(self, item: Any) -> bool:
        if isinstance(item, TaggedTicks):
            assert set(item.ticks["connection"].tolist()) == {item.connection}
            self.by_account[item.account].append(item.ticks.copy())
        return not isinstance(item, pipeline.Idle)

    def _take_frame(self, item: Any) -> bool:
        assert not isinstance(item, pipeline.Overrun)
        if isinstance(item, RawFrame):
            self.frames[item.connection, item.sequence] = item
        return isinstance(item, RawFrame)

    def pump(self) -> bool:
        """Take all that is there now; return whether every reader has come to the end."""
        for source, take in list(self._sources):
            try:
                while take(next(source)):
                    pass
            except InstanceEnded:
                self._sources.remove((source, take))
        return not self._sources

    @property
    def count(self) -> int:
        return sum(map(len, self.merged))

    def close(self) -> None:
        for market in self.markets:
            market.close()


def places(ticks: np.ndarray[Any, Any]) -> Counter[tuple[int, int]]:
    return Counter(zip(ticks["connection"].tolist(), ticks["sequence"].tolist(), strict=True))


def subscribe(market: Market) -> None:
    for account, tokens in OF_ACCOUNT.items():
        assert market.subscribe(tokens, mode="full", account=account).accepted == 100


def test_every_channel_has_the_same_ticks(make_run: Make) -> None:
    run = make_run(pool=POOL, more=SECOND, rings=ROOMY).start_and_wait()
    channels = Channels(run)
    subscribe(channels.markets[0])
    complete(run, 200)
    wait_for(lambda: channels.count > TICKS, "ticks", pump=channels.pump)
    assert run.stop() == 0
    wait_for(channels.pump, "all readers to be at the end")
    channels.close()
    merged = np.concatenate(channels.merged)
    by_account = {name: np.concatenate(parts) for name, parts in channels.by_account.items()}
    assert places(merged) == sum((places(t) for t in by_account.values()), Counter())
    for account, ticks in by_account.items():
        assert set(ticks["instrument_token"].tolist()) == set(OF_ACCOUNT[account])
    connections = {name: set(t["connection"].tolist()) for name, t in by_account.items()}
    assert connections["exchange"].isdisjoint(connections["second"])
    assert len(connections["exchange"]) == len(connections["second"]) == 2
    check_frames(merged, channels.frames)
    run.assert_nothing_left()


def check_frames(merged: np.ndarray[Any, Any], frames: dict[tuple[int, int], RawFrame]) -> None:
    """Every tick is in the raw frame that it says, and decodes to the same there."""
    fields = ["instrument_token", "last_price", "volume_traded", "bid_price", "exchange_ts_ns"]
    keys = np.stack([merged["connection"], merged["source_sequence"]], axis=1).astype(np.int64)
    for connection, sequence in np.unique(keys, axis=0).tolist():
        found = merged[(keys[:, 0] == connection) & (keys[:, 1] == sequence)]
        frame = frames[connection, sequence]
        assert frame.receive_ts_ns == int(found["receive_ts_ns"][0])
        decoded = pipeline.decode_frame("kite", frame.payload)[found["packet_index"]]
        for field in fields:
            np.testing.assert_array_equal(decoded[field], found[field])


def test_heartbeats_are_frames_of_one_byte(make_run: Make) -> None:
    run = make_run(pool=POOL, simulator="rate = 0.0\ninterval_s = 0.1").start_and_wait()
    with pipeline.attach(run.paths.name, shm_directory=run.paths.root) as market:
        market.subscribe(simulated_tokens(0, 1))
        frames = market.frames(timeout_s=40)
        for item in frames:
            assert isinstance(item, RawFrame)
            if len(item.payload) == 1:
                break
        assert run.stop() == 0
    run.assert_nothing_left()


def test_one_connection_has_its_own_instruments_alone(make_run: Make) -> None:
    run = make_run(pool=POOL, more=SECOND).start_and_wait()
    with pipeline.attach(run.paths.name, shm_directory=run.paths.root) as market:
        subscribe(market)
        complete(run, 200)
        wait_for(lambda: len(next(market.batches(timeout_s=1))), "the connections to be followed")
        accounts = {info.number: info.account for info in market.connections()}
        assert sorted(accounts.values()) == ["exchange", "exchange", "second", "second"]
        for number, account in accounts.items():
            ticks = next(market.batches(timeout_s=30, copy=False, connection=number))
            assert len(ticks) and set(ticks["connection"].tolist()) == {number}
            assert set(ticks["instrument_token"].tolist()) <= set(OF_ACCOUNT[account])
        assert run.stop() == 0
    run.assert_nothing_left()


def test_raw_only_brings_frames_and_no_ticks(make_run: Make) -> None:
    run = make_run(connections=1, count=60, more="[decoder]\nraw_only = true\n").start()
    wait_for(run.is_ready, "the instance to run")
    tail, wanted, seen = run.tick_tail(0), set(simulated_tokens(0, 60)), set[int]()
    with pipeline.attach(run.paths.name, shm_directory=run.paths.root) as market:
        for item in market.frames(0, timeout_s=30, from_="oldest"):
            assert isinstance(item, RawFrame)
            for packets in pipeline.packet_views("kite", item.payload):
                seen.update(packets["instrument_token"].tolist())
            if seen == wanted:
                break
        wait_for(run.has_decoded_all, "the decoder to pass it all over")
        assert run.tick_tail(0) == tail
        assert not np.any(market.latest(list(wanted))["sequence"])
        assert run.stop() == 0
    run.assert_nothing_left()
