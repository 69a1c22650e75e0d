"""The PUB socket against a SUB that binds: bytes, drops that are counted, a proxy that restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
import zmq

from pipeline.services.bridge.publisher import LINGER_MS, Publisher
from tests.conftest import wait_until
from tests.services.bridge.proxy import DEADLINE_S, Proxy

TOPIC = b"NSE_INFY_LTP"


@contextmanager
def connected(proxy: Proxy, **options: int) -> Iterator[Publisher]:
    """Yield a publisher whose first message has arrived: until then some are lost silently."""
    with closing(Publisher(proxy.endpoint, **options)) as publisher:
        greet(publisher, proxy)
        yield publisher


def greet(publisher: Publisher, proxy: Proxy) -> None:
    def arrived() -> bool:
        publisher.look()
        publisher.send(b"hello", b"")
        return proxy.take() > 0

    wait_until(arrived, timeout_s=DEADLINE_S, what="a first message")
    publisher.send(b"go", b"")
    wait_until(
        lambda: proxy.take() and proxy.frames[-1][0] == b"go", timeout_s=DEADLINE_S, what="a mark"
    )
    proxy.frames.clear()


def test_two_frames_byte_for_byte() -> None:
    with Proxy() as proxy, connected(proxy) as publisher:
        before = publisher.published
        payload = '{"symbol": "INFY", "ltp": 1573.7, "name": "\u20b9"}'.encode()
        assert publisher.send(TOPIC, payload)
        assert publisher.send(b"ZERODHA_alice_orders", b"{}")
        assert proxy.wait_for(2) == [[TOPIC, payload], [b"ZERODHA_alice_orders", b"{}"]]
        assert publisher.published == before + 2


def test_options_are_those_of_the_bus() -> None:
    with closing(Publisher("tcp://127.0.0.1:9")) as publisher:
        socket = publisher._socket
        assert socket.getsockopt(zmq.LINGER) == LINGER_MS == 1000
        assert socket.getsockopt(zmq.SNDHWM) == 1000
        assert socket.getsockopt(zmq.TYPE) == zmq.XPUB  # on the wire the same as PUB


def test_nobody_there_is_counted() -> None:
    with closing(Publisher("tcp://127.0.0.1:9")) as publisher:
        for _ in range(3):
            assert not publisher.look()
            assert not publisher.send(TOPIC, b"{}")
        assert (publisher.published, publisher.dropped_unheard, publisher.dropped) == (0, 3, 3)


@pytest.mark.timeout(90)
def test_what_a_slow_proxy_does_not_take_is_counted_to_the_last() -> None:
    """Sent is received plus counted: beyond the high-water mark nothing vanishes."""
    payload = bytes(4096)
    with Proxy(queue=10) as proxy, connected(proxy, high_water_mark=10) as publisher:
        before = publisher.published
        sent = 0
        while publisher.dropped_full < 500:
            publisher.send(TOPIC, payload)
            sent += 1
            assert sent < 1_000_000, "a queue without an end"
        published = publisher.published - before
        assert published + publisher.dropped_full == sent
        frames = proxy.wait_for(published)
        assert len(frames) == published
        assert all(frame == [TOPIC, payload] for frame in frames)
        # ZeroMQ looks only each millisecond or so whether its queue has room again.
        wait_until(
            lambda: publisher.send(TOPIC, b"again"), timeout_s=DEADLINE_S, what="room in the queue"
        )
        assert proxy.wait_for(published + 1)[-1] == [TOPIC, b"again"]


@pytest.mark.timeout(90)
def test_a_proxy_that_restarts_is_found_again() -> None:
    with Proxy() as first:
        publisher = Publisher(first.endpoint)
        greet(publisher, first)
        endpoint = first.endpoint
    with closing(publisher):
        wait_until(lambda: not publisher.look(), timeout_s=DEADLINE_S, what="the loss")
        assert not publisher.send(TOPIC, b"{}")
        with Proxy(endpoint) as second:
            greet(publisher, second)
            assert publisher.send(TOPIC, b"back")
            assert second.wait_for(1) == [[TOPIC, b"back"]]


def test_nothing_is_lost_between_the_handshake_and_the_subscription() -> None:
    """A proxy subscribes when its loop comes round; until then nothing counts as published."""
    with Proxy() as proxy, closing(Publisher(proxy.endpoint)) as publisher:
        assert not publisher.wait(0.1), "the proxy has not looked yet"
        assert not publisher.send(TOPIC, b"unheard")
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(proxy.wait_for, 1)
            assert publisher.wait(DEADLINE_S)
            assert publisher.send(TOPIC, b"first")
            assert found.result(DEADLINE_S) == [[TOPIC, b"first"]]
        assert (publisher.published, publisher.dropped) == (1, 1)
    with closing(Publisher("tcp://127.0.0.1:9")) as publisher:
        assert not publisher.wait(0.01)


def test_closing_waits_for_nobody() -> None:
    """A proxy that is not there does not hold the end up."""
    publisher = Publisher("tcp://127.0.0.1:9")
    publisher.send(TOPIC, b"{}")
    closer = threading.Thread(target=publisher.close)
    closer.start()
    closer.join(DEADLINE_S)
    assert not closer.is_alive()
