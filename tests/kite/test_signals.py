"""SIGTERM and Ctrl-C during a blocking connect(): whose they are, and what the second one does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from pipeline.kite.signals import ending_on_signals

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Python's own, as in a user's program; the test runner's come back."""
    before = [signal.getsignal(number) for number in BOTH]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in zip(BOTH, before, strict=True):
        signal.signal(number, handler)


def test_the_first_one_stops_and_the_second_one_interrupts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "pipeline.kite")
    stops: list[str] = []
    with pytest.raises(KeyboardInterrupt), ending_on_signals(lambda: stops.append("stop")):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stops == ["stop", "stop"]
        assert caplog.records == []
        signal.raise_signal(signal.SIGINT)
    assert caplog.messages == ["ended on SIGTERM", "ended on SIGINT"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_users_handlers_are_left_alone() -> None:
    def theirs(*_: object) -> None:
        heard.append("theirs")

    heard: list[str] = []
    signal.signal(signal.SIGTERM, theirs)
    with ending_on_signals(lambda: heard.append("ours")):
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGINT, theirs)  # set by a callback meanwhile: it stays
    assert heard == ["theirs"]
    assert [signal.getsignal(number) for number in BOTH] == [theirs, theirs]


def test_a_thread_leaves_signals_alone() -> None:
    found: list[object] = []

    def elsewhere() -> None:
        with ending_on_signals(lambda: None):
            found.extend(signal.getsignal(number) for number in BOTH)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler, signal.SIG_DFL]
