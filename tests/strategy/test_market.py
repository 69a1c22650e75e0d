"""`attach` and `Market`: what strategy code sees, against an instance that the test writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from ext.streams import StreamReader
from pipeline.core.enums import EventKind, InstanceState, Reason, SegmentKind, State
from pipeline.core.errors import (
    InstanceEnded,
    InstanceError,
    InstanceNotFound,
    NotSupportedYet,
    Overrun,
    SegmentError,
)
from pipeline.strategy.attachment import Attachment
from pipeline.strategy.market import Market
from tests.strategy.conftest import Make
from tests.strategy.writer import FakeInstance, are_whole

ROOT = Path(__file__).parents[2]


def attach(instance: FakeInstance, **options: Any) -> Market:
    return pipeline.attach(instance.paths.name, shm_directory=instance.paths.root, **options)


def test_batches_are_the_ticks_of_all_connections(make_instance: Make) -> None:
    instance = make_instance(connections=3)
    with attach(instance) as market:
        for connection in range(3):
            instance.send(5, connection)
        ticks = next(market.batches(timeout_s=10))
        assert ticks.dtype == pipeline.tick_dtype
        assert are_whole(ticks)
        assert sorted(ticks["connection"].tolist()) == [0] * 5 + [1] * 5 + [2] * 5
        assert len(next(market.batches(timeout_s=0))) == 0


def test_a_timeout_yields_an_empty_array(instance: FakeInstance) -> None:
    with attach(instance) as market:
        ticks = next(market.batches(timeout_s=0.01))
        assert len(ticks) == 0
        assert ticks.dtype == pipeline.tick_dtype


def test_the_stream_tells_everything_in_order(instance: FakeInstance) -> None:
    lane, orders = instance.connections[0].lane, instance.connections[0].orders
    with attach(instance) as market:
        stream = market.stream(timeout_s=10)
        lane.write_ticks(3)
        lane.write_event(EventKind.STATE, state=State.RECONNECTING, reason=Reason.RESET, detail=104)
        lane.write_event(
            EventKind.GAP, reason=Reason.RESET, start_ts_ns=7, end_ts_ns=9,
            start_mono_ns=10**9, end_mono_ns=3 * 10**9,
        )  # fmt: skip
        lane.write_ticks(2)
        lane.write_event(EventKind.OVERRUN, frames=5, detail=600, start_ts_ns=1, end_ts_ns=2)
        lane.write_event(EventKind.QUARANTINE, detail=44, frames=1)
        orders.append(
            b'{"type":"order","data":{"order_id":"1"}}', connection_epoch=1, receive_ts_ns=5,
            receive_mono_ns=6,
        )  # fmt: skip
        orders.append(b"not json", connection_epoch=1, receive_ts_ns=5, receive_mono_ns=6)
        found = []
        for item in stream:
            found.append(len(item) if isinstance(item, pipeline.Ticks) else item)
            if len(found) == 8:
                break
    gap = found[2]
    assert isinstance(gap, pipeline.Gap)
    assert (gap.duration_s, gap.start_ts_ns, gap.end_ts_ns, gap.tick_sequence) == (2.0, 7, 9, 4)
    assert [f for f in found if not isinstance(f, pipeline.OrderUpdate)] == [
        3,
        pipeline.StateChange(
            connection=0, connection_epoch=1, state=State.RECONNECTING, reason=Reason.RESET,
            detail=104, ts_ns=0, mono_ns=0, tick_sequence=4,
        ),
        gap,
        2,
        pipeline.Overrun(
            connection=0, stage="decoder", lost=5, lost_bytes=600, start_ts_ns=1, end_ts_ns=2,
            tick_sequence=6,
        ),
        pipeline.Quarantine(
            connection=0, connection_epoch=1, source_sequence=44, start_ts_ns=0, tick_sequence=6
        ),
    ]  # fmt: skip
    updates = [f for f in found if isinstance(f, pipeline.OrderUpdate)]
    assert [u.order for u in updates] == [{"order_id": "1"}, None]
    assert updates[1].raw == b"not json"


def test_idle_ends_a_quiet_stretch(instance: FakeInstance) -> None:
    with attach(instance) as market:
        assert next(market.stream(timeout_s=0.01)) == pipeline.Idle(0.01)


def test_order_updates_wake_a_stream(instance: FakeInstance) -> None:
    with attach(instance) as market:
        orders = instance.connections[0].orders

        def send() -> None:
            orders.append(b"{}", connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1)
            instance.bell.ring()

        timer = threading.Timer(0.02, send)
        timer.start()
        item = next(market.stream(timeout_s=20))
        timer.join()
        assert isinstance(item, pipeline.OrderUpdate)


def test_an_order_that_nobody_takes_keeps_no_loop_awake(
    instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    follow = Attachment.follow_manifest

    def count(attachment: Attachment, **options: Any) -> None:
        looks.append(attachment)
        follow(attachment, **options)

    monkeypatch.setattr(Attachment, "follow_manifest", count)
    with attach(instance) as market:
        assert isinstance(next(market.stream(timeout_s=0)), pipeline.Idle)
        instance.connections[0].orders.append(
            b"{}", connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1
        )
        assert len(next(market.batches(timeout_s=0.2))) == 0
        assert len(next(market.batches(timeout_s=0.2, copy=False, connection=0))) == 0
        assert len(looks) < 50
        assert isinstance(next(market.stream(timeout_s=20)), pipeline.OrderUpdate)


def test_events_of_batches_go_to_a_callback(instance: FakeInstance) -> None:
    lane = instance.connections[0].lane
    seen: list[Any] = []
    with attach(instance) as market:
        batches = market.batches(timeout_s=0, on_event=seen.append)
        lane.write_ticks(2)
        lane.write_event()
        lane.write_ticks(2)
        assert len(next(batches)) == 2
        assert seen == []
        assert len(next(batches)) == 2
        assert [type(item) for item in seen] == [pipeline.Gap]


def _lap(instance: FakeInstance) -> None:
    for _ in range(20):
        instance.send(256)


@pytest.mark.parametrize("policy", ["resume", "skip"])
def test_a_lapped_reader_is_told_how_many_it_lost(instance: FakeInstance, policy: Any) -> None:
    with attach(instance, policy=policy) as market:
        _lap(instance)
        stream = market.stream(timeout_s=0)
        overrun = next(stream)
        assert isinstance(overrun, pipeline.Overrun)
        assert (overrun.stage, overrun.first_sequence) == ("reader", 1)
        count = 0
        for item in stream:
            if isinstance(item, pipeline.Idle):
                break
            assert isinstance(item, pipeline.Ticks)
            assert are_whole(item.ticks)
            count += len(item)
        assert count + overrun.lost == 20 * 256
        assert market.lost == overrun.lost
        assert (count == 0) == (policy == "skip")


def test_the_policy_raise_raises_and_goes_on_when_asked_again(instance: FakeInstance) -> None:
    with attach(instance, policy="raise") as market:
        instance.send(3)
        assert len(next(market.batches(timeout_s=0))) == 3
        _lap(instance)
        with pytest.raises(Overrun) as caught:
            next(market.batches(timeout_s=0))
        assert caught.value.connection == 0
        ticks = next(market.batches(timeout_s=0))
        assert int(ticks["sequence"][0]) == 4 + caught.value.lost


def test_views_are_read_only_and_checked(instance: FakeInstance) -> None:
    with attach(instance) as market:
        instance.send(100)
        views = market.batches(timeout_s=0, copy=False, connection=0)
        view = next(views)
        assert view["sequence"].tolist() == list(range(1, 101))
        with pytest.raises(ValueError, match="read-only"):
            view["sequence"] = 0
        assert len(next(views)) == 0
        instance.send(100)
        assert int(next(views)["sequence"][0]) == 101
        _lap(instance)
        with pytest.raises(Overrun) as caught:
            next(views)
        assert caught.value.lost == 100
        with pytest.raises(InstanceError, match="no connection 9; it has: 0"):
            market.batches(copy=False, connection=9)
        with pytest.raises(ValueError, match="connection="):
            market.batches(copy=False)


def test_the_page_shows_the_reader_and_goes_with_it(instance: FakeInstance) -> None:
    with attach(instance, name="alpha") as market, attach(instance, name="alpha") as other:
        instance.send(10)
        next(market.batches(timeout_s=10))
        page = market.attachment.page.record
        assert page["name"].tobytes().rstrip(b"\0") == b"alpha"
        assert int(page["cursors"]["delivered"][0]) == 10
        assert int(page["latency"]["total"]) == 1
        assert other.attachment.page.segment.path.name == f"alpha-2.{os.getpid()}"
        assert len(list(instance.paths.readers.iterdir())) == 2
    assert not list(instance.paths.readers.iterdir())
    with pytest.raises(SegmentError, match="reader name"):
        attach(instance, name="Not a name")


def test_a_missing_instance_names_those_that_run(instance: FakeInstance) -> None:
    with pytest.raises(InstanceNotFound, match=instance.paths.name):
        pipeline.attach("nobody", shm_directory=instance.paths.root)


def test_attach_can_wait_for_the_instance(make_instance: Make, tmp_path: Path) -> None:
    timer = threading.Timer(0.05, lambda: make_instance(name="late"))
    timer.start()
    with pipeline.attach("late", shm_directory=tmp_path, wait_s=30) as market:
        assert market.connections()[0].state is State.DISABLED
    timer.join()


def test_the_end_is_raised_after_the_last_tick(instance: FakeInstance) -> None:
    with attach(instance) as market:
        instance.send(10)
        instance.end()
        batches = market.batches()
        assert len(next(batches)) == 10
        with pytest.raises(InstanceEnded):
            next(batches)
        with pytest.raises(InstanceEnded):
            market.latest([408065])


def test_a_dead_supervisor_is_not_mistaken_for_quiet(instance: FakeInstance) -> None:
    with attach(instance) as market:
        instance.file._value["supervisor_pid"] = 2**22 + 1
        instance.file.set_state(InstanceState.RUNNING, Reason.NONE)
        with pytest.raises(InstanceEnded):
            next(market.batches())


def test_a_follower_goes_on_with_the_next_life(make_instance: Make) -> None:
    first = make_instance(name="life")
    with attach(first, follow=True) as market:
        first.send(10)
        stream = market.stream(timeout_s=0.3)
        assert isinstance(next(stream), pipeline.Ticks)
        first.end()
        assert isinstance(next(stream), pipeline.Idle)
        second = make_instance(name="life")
        second.send(4)
        items = [next(stream)]
        while isinstance(items[-1], pipeline.Idle):
            items.append(next(stream))
        gap = items[-1]
        assert isinstance(gap, pipeline.Gap)
        assert gap.reason is Reason.DISCONTINUITY
        assert 0 < gap.start_ts_ns < gap.end_ts_ns
        ticks = next(stream)
        assert isinstance(ticks, pipeline.Ticks)
        assert len(ticks) == 4
        assert [p.parent.parent.name for p in second.paths.readers.iterdir()] == ["life"]


def test_new_connections_are_followed_and_gone_ones_left(instance: FakeInstance) -> None:
    with attach(instance) as market:
        batches = market.batches(timeout_s=0)
        instance.add_connection()
        instance.send(7, 1)
        assert next(batches)["connection"].tolist() == [1] * 7
        assert [c.number for c in market.connections()] == [0, 1]
        instance.send(3, 0)
        instance.entries = [e for e in instance.entries if e.number != 0 or e.decoder or
                            e.kind in (SegmentKind.BELL, SegmentKind.LATEST)]  # fmt: skip
        instance.publish()
        assert len(next(batches)) == 3
        assert len(next(batches)) == 0
        assert [c.number for c in market.connections()] == [1]


def test_stop_ends_a_loop_from_another_thread(instance: FakeInstance) -> None:
    with attach(instance) as market:
        timer = threading.Timer(0.02, market.stop)
        timer.start()
        assert list(market.batches()) == []
        timer.join()
        assert list(market.stream()) == []


def test_run_calls_back(instance: FakeInstance) -> None:
    lane = instance.connections[0].lane
    calls: list[Any] = []
    with attach(instance) as market:
        lane.write_ticks(3)
        lane.write_event()

        def idle() -> None:
            calls.append("idle")
            market.stop()

        market.run(
            on_ticks=lambda ticks: calls.append(len(ticks)), on_event=calls.append, on_idle=idle,
            timeout_s=0.01,
        )  # fmt: skip
    assert calls[0] == 3
    assert isinstance(calls[1], pipeline.Gap)
    assert calls[2] == "idle"


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.subscribe([408065], mode="full"),
        lambda m: m.unsubscribe([408065]),
        lambda m: m.set_mode("full", [408065]),
    ],
)
def test_what_comes_later_names_the_config_key(instance: FakeInstance, call: Any) -> None:
    with attach(instance) as market, pytest.raises(NotSupportedYet, match=r"\[\[subscription\]\]"):
        call(market)


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "wait"},
        {"from_": "yesterday"},
        {"buffer_ticks": 1},
        {"buffer_ticks": "a"},
        {"spin_us": -1},
        {"nap_us": -1},
        {"nap_us": 5_001},
        {"nap_us": 0.5},
        {"nap_us": "a"},
    ],
)
def test_wrong_options_are_refused(instance: FakeInstance, options: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        attach(instance, **options)
    assert not list(instance.paths.readers.iterdir())


@pytest.mark.parametrize(
    ("given", "found"), [({}, (0, 100_000)), ({"spin_us": 7, "nap_us": 250}, (7000, 250_000))]
)
def test_how_to_wait_reaches_the_reader(
    instance: FakeInstance, monkeypatch: pytest.MonkeyPatch, given: Any, found: Any
) -> None:
    asked = []

    def make(*arguments: Any, spin_ns: int, nap_ns: int, **more: Any) -> StreamReader:
        asked.append((spin_ns, nap_ns))
        return StreamReader(*arguments, spin_ns=spin_ns, nap_ns=nap_ns, **more)

    monkeypatch.setattr("pipeline.strategy.attachment.StreamReader", make)
    with attach(instance, **given):
        assert asked == [found]


def test_a_forked_child_is_told_to_attach_itself(instance: FakeInstance) -> None:
    with attach(instance) as market:
        child = os.fork()
        if child == 0:
            try:
                next(market.batches(timeout_s=0))
            except RuntimeError as error:
                market.close()
                os._exit(0 if "attach again in the child" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert market.attachment.page.segment.path.exists()


_READER = """
import sys, pipeline
market = pipeline.attach(sys.argv[1], shm_directory=sys.argv[2], name="child")
print("attached", flush=True)
for ticks in market.batches():
    print(len(ticks), flush=True)
"""


def _start_reader(instance: FakeInstance) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", _READER, instance.paths.name, str(instance.paths.root)]
    reader = subprocess.Popen(
        arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "attached\n"
    return reader


def test_sigint_ends_a_waiting_strategy_and_takes_its_page_away(instance: FakeInstance) -> None:
    with _start_reader(instance) as reader:
        instance.send(4)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "4\n"
        reader.send_signal(signal.SIGINT)
        _, errors = reader.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert not list(instance.paths.readers.iterdir())


def test_a_killed_strategy_hurts_nobody_and_leaves_its_page(instance: FakeInstance) -> None:
    with attach(instance) as market:
        with _start_reader(instance) as reader:
            reader.kill()
        assert len(list(instance.paths.readers.glob("child.*"))) == 1
        instance.send(4)
        assert len(next(market.batches(timeout_s=10))) == 4


def test_a_thread_of_its_own_can_read(instance: FakeInstance) -> None:
    got: list[int] = []
    with attach(instance) as market:
        thread = threading.Thread(target=lambda: got.extend(map(len, market.batches())))
        thread.start()
        instance.send(4)
        deadline = time.monotonic() + 30
        while not got and time.monotonic() < deadline:
            time.sleep(0.001)
        market.stop()
        thread.join()
    assert got == [4]


def test_a_batch_stays_within_its_buffer(instance: FakeInstance) -> None:
    with attach(instance, buffer_ticks=256) as market:
        for _ in range(5):
            instance.send(200)
        sizes = []
        for ticks in market.batches(timeout_s=0):
            if not len(ticks):
                break
            sizes.append(len(ticks))
            assert np.all(np.diff(ticks["sequence"]) == 1)
        assert max(sizes) == 256
        assert sum(sizes) == 1000
