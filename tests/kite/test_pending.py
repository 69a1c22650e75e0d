"""What is asked of a KiteTicker while its connect() has not got through yet: none of it is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import CapacityError, InstanceError
from pipeline.kite import KiteTicker, session, ticker
from pipeline.kite.instance import OwnInstance
from tests.conftest import leftovers, wait_until
from tests.kite.test_life import Heard, url
from tests.sim.harness import Simulator

PATIENCE_S = 40.0
Make = Callable[..., KiteTicker]
Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Have something done once by another thread while an instance is being started."""

    def arrange(action: Callable[[], object]) -> None:
        start, actions = OwnInstance.start, [action]

        def start_slowly(self: OwnInstance, *arguments: Any) -> Any:
            market = start(self, *arguments)
            if actions:
                other = threading.Thread(target=actions.pop())
                other.start()
                other.join(PATIENCE_S)
                assert not other.is_alive()
            return market

        monkeypatch.setattr(OwnInstance, "start", start_slowly)

    return arrange


def connect_elsewhere(kws: KiteTicker) -> threading.Thread:
    thread = threading.Thread(target=kws.connect, daemon=True)
    thread.start()
    return thread


def assert_over(thread: threading.Thread) -> None:
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_stop_while_connecting_ends_a_blocking_connect(
    exchange: Simulator, make_ticker: Make, meanwhile: Meanwhile, shm_root: Path
) -> None:
    kws = make_ticker(url(exchange))
    heard = Heard(kws, full=[408065])
    meanwhile(kws.stop)
    assert_over(connect_elsewhere(kws))
    assert heard.calls == [] and heard.ticks == []
    assert leftovers(shm_root) == []
    kws.connect(threaded=True)  # and that stop is not kept for the next time
    wait_until(lambda: heard.ticks, timeout_s=PATIENCE_S, what="ticks of the second life")


def test_a_signal_while_connecting_ends_a_blocking_connect(
    exchange: Simulator, make_ticker: Make, meanwhile: Meanwhile, shm_root: Path
) -> None:
    kws = make_ticker(url(exchange))
    heard = Heard(kws, full=[408065])
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        meanwhile(lambda: os.kill(os.getpid(), signal.SIGTERM))
        kws.connect()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard.calls == [] and heard.ticks == []
    assert leftovers(shm_root) == []


def test_close_while_connecting_makes_no_connection(
    exchange: Simulator, make_ticker: Make, meanwhile: Meanwhile, shm_root: Path
) -> None:
    kws = make_ticker(url(exchange))
    kws.subscribed_tokens[408065] = "full"  # of a life before this one: nothing of it comes
    heard = Heard(kws)
    meanwhile(lambda: kws.close(1000, "changed my mind"))
    kws.connect(threaded=True)
    assert kws.websocket_thread is not None
    assert_over(kws.websocket_thread)
    assert heard.calls == [] and heard.ticks == []
    assert leftovers(shm_root) == []


def test_stop_retry_while_connecting_is_kept(
    make_ticker: Make, meanwhile: Meanwhile, exchange: Simulator
) -> None:
    kws = make_ticker("ws://127.0.0.1:1")  # nobody listens there
    gave_up: list[KiteTicker] = []
    kws.on_noreconnect = gave_up.append
    kws.on_reconnect = lambda ws, attempts: gave_up.append(ws)
    meanwhile(kws.stop_retry)
    kws.connect(threaded=True)
    assert kws.websocket_thread is not None
    assert_over(kws.websocket_thread)
    assert gave_up == []


def test_a_second_connect_while_the_first_is_under_way_starts_nothing(
    exchange: Simulator, make_ticker: Make, meanwhile: Meanwhile, shm_root: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    kws = make_ticker(url(exchange))
    heard = Heard(kws, full=[408065])
    meanwhile(lambda: kws.connect(threaded=True))
    kws.connect(threaded=True)
    assert "this KiteTicker is connecting already" in caplog.text
    assert len(list(next(shm_root.iterdir()).iterdir())) == 1
    wait_until(lambda: heard.ticks, timeout_s=PATIENCE_S, what="ticks")


def test_stop_ends_every_connect_that_has_not_returned(
    exchange: Simulator, make_ticker: Make
) -> None:
    kws = make_ticker(url(exchange))
    heard = Heard(kws, full=[408065])
    first = connect_elsewhere(kws)
    wait_until(lambda: heard.ticks, timeout_s=PATIENCE_S, what="ticks")
    kws.close()  # a blocking connect() waits for stop all the same
    kws.connect(threaded=True)
    wait_until(lambda: heard.calls.count("connect") == 2, timeout_s=PATIENCE_S, what="a second")
    assert first.is_alive()
    kws.stop()
    assert_over(first)


def test_a_start_that_fails_at_its_end_leaves_nothing(
    exchange: Simulator, make_ticker: Make, shm_root: Path
) -> None:
    kws = make_ticker(url(exchange))
    kws.subscribed_tokens.update(dict.fromkeys(range(1, 3002), "ltp"))
    with pytest.raises(CapacityError, match="3001 instruments"):
        kws.connect()
    assert leftovers(shm_root) == []


def test_no_thread_to_call_back_in_leaves_nothing(
    exchange: Simulator, make_ticker: Make, shm_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "KiteTicker":
            raise RuntimeError("can't start new thread")
        start(self)

    kws = make_ticker(url(exchange))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        kws.connect(threaded=True)
    assert leftovers(shm_root) == []
    assert kws.websocket_thread is None
    monkeypatch.undo()
    heard = Heard(kws, full=[408065])
    kws.connect(threaded=True)
    wait_until(lambda: heard.ticks, timeout_s=PATIENCE_S, what="ticks")


def test_a_life_that_does_not_end_is_told(
    exchange: Simulator, make_ticker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    kws = make_ticker(url(exchange))
    go_on = threading.Event()
    kws.on_connect = lambda ws, response: go_on.wait(PATIENCE_S)
    kws.connect(threaded=True)
    wait_until(kws.is_connected, timeout_s=PATIENCE_S, what="the connection")
    kws.stop()
    monkeypatch.setattr(ticker, "_RESTART_S", 0.0)
    try:
        with pytest.raises(InstanceError, match="a callback .* may not have returned"):
            kws.connect(threaded=True)
    finally:
        go_on.set()


def test_a_loss_of_messages_is_told(caplog: pytest.LogCaptureFixture) -> None:
    session._warn(session.LostMessages(0, is_binary=True, lost=7))
    assert "7 raw frames were overwritten before on_message was given them" in caplog.text
