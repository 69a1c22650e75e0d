"""Notices and ring messages as items."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ext.streams import NoticeKind
from pipeline.core import layout
from pipeline.core.enums import EventKind, State
from pipeline.strategy.items import (
    OrderUpdate,
    Overrun,
    StateChange,
    Ticks,
    item_of_notice,
    order_update,
)


def _event(**fields: int) -> dict[str, int]:
    return {name: 0 for name in layout.dtypes["EventC"].names or ()} | fields


def test_lost_events_and_ticks_are_overruns_of_their_stage() -> None:
    ticks = item_of_notice((NoticeKind.NOTICE_TICKS_LOST, 3, 100, 50, None))
    assert ticks == Overrun(
        connection=3, stage="reader", lost=50, first_sequence=100, tick_sequence=150
    )
    events = item_of_notice((NoticeKind.NOTICE_EVENTS_LOST, 3, 8, 2, None))
    assert events == Overrun(connection=3, stage="events", lost=2, first_sequence=8)


def test_a_negative_detail_keeps_its_sign() -> None:
    event = _event(kind=EventKind.STATE, state=State.FAILED, detail=2**64 - 9)
    item = item_of_notice((NoticeKind.NOTICE_EVENT, 0, 0, 0, event))
    assert isinstance(item, StateChange)
    assert item.detail == -9


@pytest.mark.parametrize(
    ("raw", "order"),
    [
        (b'{"type":"order","data":{"a":1}}', {"a": 1}),
        (b'{"a":1}', {"a": 1}),
        (b'{"type":"order","data":null}', {"type": "order", "data": None}),
        (b"[1]", None),
        (b"\xff", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_any_payload_is_an_order_update(raw: bytes, order: object) -> None:
    message = {
        "payload": raw, "connection_epoch": 2, "sequence": 5, "receive_ts_ns": 6,
        "receive_mono_ns": 7,
    }  # fmt: skip
    item = order_update(1, message)
    assert item == OrderUpdate(
        connection=1, connection_epoch=2, sequence=5, receive_ts_ns=6, receive_mono_ns=7,
        order=order, raw=raw,  # type: ignore[arg-type]
    )  # fmt: skip


def test_items_are_immutable_and_ticks_have_a_length() -> None:
    ticks = Ticks(np.zeros(4, layout.tick_dtype))
    assert len(ticks) == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        ticks.ticks = np.zeros(1)  # type: ignore[misc]
