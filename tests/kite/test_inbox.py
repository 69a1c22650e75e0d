"""Frames, texts and raw messages: whole, once, and in the order in which they were received."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ext.rings import FrameRingWriter
from pipeline.core.clock import monotonic_ns
from pipeline.core.enums import EventKind, Reason, State
from pipeline.kite.inbox import Frame, Inbox, LostMessages, Message
from pipeline.shm import specs
from pipeline.strategy.items import Overrun, StateChange
from pipeline.strategy.market import Market, attach
from tests.conftest import wait_until
from tests.strategy.writer import FakeInstance


class Stage:
    """A fake instance with all the rings of a connection, and an inbox that reads it."""

    def __init__(self, root: Path) -> None:
        self.instance = FakeInstance("kite-1", root)
        frames = self.instance.make(specs.frames(0, capacity=1024, area_bytes=1 << 16), 0)
        texts = self.instance.make(specs.text(0, area_bytes=1 << 16), 0)
        self.frames, self.texts = FrameRingWriter(frames.mapping), FrameRingWriter(texts.mapping)
        self.market: Market = attach("kite-1", shm_directory=root, from_="oldest")
        self.inbox = Inbox(self.market, from_start=True)
        self.lane = self.instance.connections[0].lane

    def text(self, payload: bytes, ring: FrameRingWriter | None = None) -> None:
        stamps = {"receive_ts_ns": 1, "receive_mono_ns": monotonic_ns()}
        (ring or self.texts).append(payload, connection_epoch=1, **stamps)
        self.instance.bell.ring()

    def told(self) -> list[object]:
        """Return what one round gives, in short: the sizes of frames, the payloads of messages."""
        found: list[object] = []
        for delivery in self.inbox.take():
            if isinstance(delivery, Frame):
                found.append(len(delivery.ticks))
            elif isinstance(delivery, Message):
                found.append(delivery.payload)
            else:
                found.append(delivery)
        return found


@pytest.fixture
def stage(shm_root: Path) -> Iterator[Stage]:
    made = Stage(shm_root)
    yield made
    made.market.close()
    made.instance.end()


def test_each_frame_is_one_list(stage: Stage) -> None:
    for count in (1, 3, 2):
        stage.instance.send(count)
    assert stage.told() == [1, 3, 2]
    assert stage.told() == []


def test_a_frame_of_many_units_is_one_list(stage: Stage) -> None:
    whole = stage.lane.make_ticks(600)
    for start in (0, 256, 512):
        stage.lane.ticks.write(whole[start : start + 256])
        stage.lane.ticks.publish(len(whole[start : start + 256]))
        stage.instance.bell.ring()
        assert stage.told() == ([600] if start == 512 else [])
        assert stage.inbox.holds is (start != 512)


def test_a_frame_that_ends_with_its_unit_waits_one_round(stage: Stage) -> None:
    stage.instance.send(256)
    assert stage.told() == []
    assert stage.told() == [256]
    stage.instance.send(256)
    stage.told()
    stage.instance.send(5)
    assert stage.told() == [256, 5]


def test_texts_and_orders_come_where_they_were_received(stage: Stage) -> None:
    stage.instance.send(1)
    stage.text(b"first")
    stage.text(b"order", stage.instance.connections[0].orders)
    stage.instance.send(2)
    stage.text(b"last")
    assert stage.told() == [1, b"first", b"order", 2]
    assert stage.told() == [b"last"]


def test_a_state_change_comes_after_what_was_received_before_it(stage: Stage) -> None:
    stage.text(b"before")
    now = monotonic_ns()
    stage.lane.write_event(
        EventKind.STATE, state=State.RECONNECTING, reason=Reason.RESET, start_mono_ns=now
    )
    stage.instance.bell.ring()
    text, change = stage.told()
    assert text == b"before"
    assert isinstance(change, StateChange) and change.reason is Reason.RESET


def test_raw_frames_precede_their_ticks(stage: Stage) -> None:
    stage.inbox.want_raw(True, from_start=True)
    stage.text(b"\0", stage.frames)  # a heartbeat is sequence 0, and has no ticks
    stage.text(b"data", stage.frames)
    stage.lane.frames = 1
    stage.instance.send(2)
    assert stage.told() == [b"\0", b"data", 2]
    stage.inbox.want_raw(False)
    stage.text(b"more", stage.frames)
    assert stage.told() == []


def test_a_message_waits_for_a_decoder_that_is_behind_but_not_for_long(stage: Stage) -> None:
    stage.frames.append(b"data", connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1)
    stage.text(b"later")
    found: list[object] = []
    wait_until(lambda: found.extend(stage.told()) or found, timeout_s=30, what="the text")
    assert found == [b"later"]


def test_other_instruments_are_left_out(stage: Stage) -> None:
    stage.inbox.only = frozenset([256265])
    stage.lane.write_ticks(4, tokens=(408065, 256265))
    stage.lane.write_ticks(1)
    stage.instance.bell.ring()
    assert stage.told() == [2]


def test_what_was_lost_is_told(stage: Stage) -> None:
    for _ in range(12):
        stage.instance.send(256)
    found = stage.told()
    [lost] = [item for item in found if isinstance(item, Overrun)]
    assert lost.lost > 0


def test_messages_that_were_overwritten_are_told_and_the_rest_comes(stage: Stage) -> None:
    stage.inbox.want_raw(True, from_start=True)
    count, size = 40, 4096  # more than the areas of 64 KiB hold
    for number in range(count):
        for ring in (stage.frames, stage.texts):
            stage.text(number.to_bytes(2, "big") + bytes(size), ring)
    found = stage.told()
    losses = [item for item in found if isinstance(item, LostMessages)]
    wait_until(lambda: found.extend(stage.told()) or not stage.inbox._waiting,
               timeout_s=30, what="the rest")  # fmt: skip
    assert sorted(loss.is_binary for loss in losses) == [False, True]
    assert found[:2] == losses
    assert all(loss.lost > 0 for loss in losses)
    assert len(found) - len(losses) == 2 * count - sum(loss.lost for loss in losses)
    assert stage.told() == []
