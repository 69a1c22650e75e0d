"""Which signals end an instance, and whose wish it is that one does not."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest

from pipeline.supervisor.signals import SignalInbox


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    found = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in found.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_kill_ctrl_c_and_a_closed_terminal_are_noted(number: signal.Signals) -> None:
    def before(*_: object) -> None:
        """Be there instead of the default, which would end the tests with what is missing."""

    signal.signal(number, before)
    with contextlib.closing(SignalInbox()) as inbox:
        assert signal.getsignal(number) is not before
        os.kill(os.getpid(), number)
        assert inbox.take() == [number]
        assert inbox.take() == []
    assert signal.getsignal(number) is before


def test_nohup_keeps_an_instance_from_its_terminal_s_end() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.closing(SignalInbox()) as inbox:
        os.kill(os.getpid(), signal.SIGHUP)
        assert inbox.take() == []
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
