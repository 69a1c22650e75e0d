"""Listeners: each has a queue of its own, and nobody is waited for."""

from __future__ import annotations

import asyncio

from pipeline.services.control.events import LISTENERS_MAX, QUEUE_MAX, Hub


def test_everybody_is_told_in_order() -> None:
    async def run() -> list[bytes]:
        hub = Hub()
        listeners = [hub.join(), hub.join()]
        hub.publish("state", {"state": "LIVE"})
        hub.publish("gap", {})
        return [await one.take(1.0) for one in listeners if one is not None]

    first, second = asyncio.run(run())
    assert first == second
    assert (
        first == b'id: 1\nevent: state\ndata: {"state":"LIVE"}\n\nid: 2\nevent: gap\ndata: {}\n\n'
    )


def test_one_that_is_slow_is_let_go_and_the_others_are_not() -> None:
    hub = Hub()
    slow, quick = hub.join(), hub.join()
    assert slow is not None and quick is not None
    for _ in range(QUEUE_MAX + 1):
        hub.publish("state", {})
        asyncio.run(quick.take(1.0))
    assert slow.lagged and not quick.lagged


def test_nothing_to_tell_is_no_event() -> None:
    listener = Hub().join()
    assert listener is not None
    assert asyncio.run(listener.take(0.001)) == b""


def test_there_is_room_for_so_many() -> None:
    hub = Hub()
    found = [hub.join() for _ in range(LISTENERS_MAX + 1)]
    assert found[-1] is None and None not in found[:-1]
    assert found[0] is not None
    hub.leave(found[0])
    assert hub.listeners == LISTENERS_MAX - 1 and hub.join() is not None
