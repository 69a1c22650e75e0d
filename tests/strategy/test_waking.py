"""What a loop hands out of what comes while it waits: the ticks at once, all else in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pipeline
from ext.streams import StreamReader
from pipeline.core.errors import InstanceEnded
from pipeline.strategy import reading
from pipeline.strategy.attachment import Attachment
from pipeline.strategy.market import Market
from tests.strategy.conftest import Make
from tests.strategy.writer import FakeInstance


class LateReader:
    """A compiled reader to which something happens each time when it begins to wait."""

    def __init__(self, reader: StreamReader, happen: Callable[[], object]) -> None:
        self._reader, self._happen = reader, happen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def wait_batch(self, timeout_ns: int) -> Any:
        self._happen()
        return self._reader.wait_batch(timeout_ns)


def attach(instance: FakeInstance, happen: Callable[[], object], **options: Any) -> Market:
    """Attach with a reader to which `happen` happens while it waits."""
    market = pipeline.attach(instance.paths.name, shm_directory=instance.paths.root, **options)
    market.attachment.reader = LateReader(market.attachment.reader, happen)  # type: ignore[assignment]
    return market


def test_a_batch_comes_without_another_look(
    instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    follow = Attachment.follow_manifest

    def look(attachment: Attachment, **options: Any) -> None:
        looks.append(attachment)
        follow(attachment, **options)

    with attach(instance, lambda: instance.send(5)) as market:
        monkeypatch.setattr(Attachment, "follow_manifest", look)
        batches = market.batches(timeout_s=30)
        for step in range(1, 11):
            ticks = next(batches)
            assert ticks["sequence"].tolist() == list(range(5 * step - 4, 5 * step + 1))
            assert len(looks) == step


def test_ticks_then_the_event_then_the_rest(instance: FakeInstance) -> None:
    seen: list[Any] = []
    lane = instance.connections[0].lane

    def happen() -> None:
        lane.write_ticks(2)
        lane.write_event()
        lane.write_ticks(3)

    with attach(instance, happen) as market:
        batches = market.batches(timeout_s=30, on_event=seen.append)
        assert next(batches)["sequence"].tolist() == [1, 2]
        assert seen == []
        assert next(batches)["sequence"].tolist() == [3, 4, 5]
        assert [type(item) for item in seen] == [pipeline.Gap]


def test_a_stream_yields_ticks_and_then_the_order(instance: FakeInstance) -> None:
    orders = instance.connections[0].orders

    def happen() -> None:
        orders.append(b"{}", connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1)
        instance.send(4)

    with attach(instance, happen) as market:
        stream = market.stream(timeout_s=30)
        found = next(stream)
        assert isinstance(found, pipeline.Ticks)
        assert found.ticks["sequence"].tolist() == [1, 2, 3, 4]
        assert isinstance(next(stream), pipeline.OrderUpdate)
        assert isinstance(next(stream), pipeline.Ticks)


def test_tagged_ticks_come_apart(make_instance: Make) -> None:
    instance = make_instance(connections=2)

    def happen() -> None:
        instance.send(2, 0)
        instance.send(3, 1)

    with attach(instance, happen) as market:
        tagged = market.tagged(timeout_s=30)
        for _ in range(3):
            parts = [next(tagged), next(tagged)]
            assert all(isinstance(part, pipeline.TaggedTicks) for part in parts)
            assert sorted((p.connection, len(p.ticks)) for p in parts) == [(0, 2), (1, 3)]


def test_a_loss_is_told_before_what_follows_it(instance: FakeInstance) -> None:
    def happen() -> None:
        if not lost:
            for _ in range(20):
                instance.send(256)

    lost: list[Any] = []
    with attach(instance, happen) as market:
        batches = market.batches(timeout_s=30, on_event=lost.append)
        ticks = next(batches)
        assert [type(item) for item in lost] == [pipeline.Overrun]
        assert int(ticks["sequence"][0]) == 1 + market.lost


def test_stop_while_waiting_ends_the_loop(instance: FakeInstance) -> None:
    def happen() -> None:
        instance.send(1)
        market.stop()

    with attach(instance, happen) as market:
        assert [len(ticks) for ticks in market.batches(timeout_s=30)] == []


def test_a_timeout_comes_all_the_same(instance: FakeInstance) -> None:
    with attach(instance, lambda: None) as market:
        assert len(next(market.batches(timeout_s=0.01))) == 0
        assert next(market.stream(timeout_s=0.01)) == pipeline.Idle(0.01)


def test_an_ended_instance_s_ticks_all_come(
    instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look finds it ended, and each time there was something new since the last one."""
    monkeypatch.setattr(reading, "_LOOK_INTERVAL_NS", 0)
    sent = 0

    def happen() -> None:
        nonlocal sent
        if sent < 20:
            instance.send(1)
            sent += 1

    with attach(instance, happen) as market:
        market._next_look_ns = 0
        instance.end()
        seen: list[int] = []
        with pytest.raises(InstanceEnded):
            for ticks in market.batches():
                seen += ticks["sequence"].tolist()
    assert seen == list(range(1, 21))
