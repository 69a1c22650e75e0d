"""User code that raises is told, once a second, and nothing else."""

from __future__ import annotations

import logging

import pytest

from pipeline.kite.callbacks import Guard, call
from pipeline.kite.response import Connection, ConnectionResponse


class Owner:
    on_ticks = None
    on_close = None


def test_what_is_raised_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    for _ in range(1000):
        with guard("on_ticks"):
            raise ValueError("mine")
    assert 1 <= len(caplog.records) < 20
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None and str(record.exc_info[1]) == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_wish_to_end_passes(error: type[BaseException]) -> None:
    with pytest.raises(error), Guard()("on_ticks"):
        raise error


def test_a_callback_that_is_not_there_is_passed_over() -> None:
    owner, heard = Owner(), []
    call(Guard(), owner, "on_ticks", 1)
    owner.on_close = lambda ws, *rest: heard.append((ws, rest))  # type: ignore[assignment]
    call(Guard(), owner, "on_close", 1000, "bye")
    assert heard == [(owner, (1000, "bye"))]


@pytest.mark.parametrize(
    ("root", "peer"),
    [
        ("wss://ws.kite.trade", "tcp4:ws.kite.trade:443"),
        ("ws://127.0.0.1:8765", "tcp4:127.0.0.1:8765"),
    ],
)
def test_a_response_says_who_answered(root: str, peer: str) -> None:
    response = ConnectionResponse.of(root)
    assert (response.peer, response.version, response.headers) == (peer, 18, {})


def test_the_connection_object_closes() -> None:
    asked: list[object] = []
    connection = Connection(lambda code, reason: asked.append((code, reason)))
    assert connection.state == connection.STATE_CONNECTING
    connection.sendClose(1000, "bye")
    assert asked == [(1000, "bye")]
