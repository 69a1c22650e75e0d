"""The unmodified KiteTicker of kiteconnect 5.2.2 and ours tell one story of the same exchange."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.ext.frames import close_frame, server_frame
from tests.feed.scripted_server import Peer, serving
from tests.kite.exchange import BINARY, TEXT, Acks, Session, frame_of_all, text

ROOT = Path(__file__).parents[2]
RECORDER = ROOT / "tests" / "kite" / "recorder.py"
MODULES = ("kiteconnect", "pipeline.kite")
TOKENS = {408065: "full", 738561: "quote", 265: "ltp", 256265: "full"}
DEADLINE_S = 80

Record = list[list[Any]]
Handler = Callable[["Exchange", Session], None]


class Exchange:
    """Serves one client: the n-th connection is the n-th handler's; the last one's from then on."""

    def __init__(self, *handlers: Handler | int) -> None:
        self.handlers = handlers
        self.count = 0
        self.acks = Acks()
        self.subscriptions: list[dict[int, str]] = []

    def script(self, peer: Peer) -> None:
        handler = self.handlers[min(self.count, len(self.handlers) - 1)]
        self.count += 1
        if isinstance(handler, int):
            peer.refuse(handler)
            return
        peer.upgrade()
        session = Session(peer)
        acknowledged = self.acks.sent
        wanted = TOKENS | {1_000_001 + n: "quote" for n in range(acknowledged)}
        session.read_until(lambda modes: modes == wanted)
        self.subscriptions.append(dict(session.modes))
        handler(self, session)


def a_day(exchange: Exchange, session: Session) -> None:
    """Everything that a server may send, and an orderly close."""
    send = exchange.acks.send
    send(session, BINARY, b"\0")
    send(session, TEXT, text({"type": "instruments_meta", "data": {"count": 1}}))
    send(session, BINARY, frame_of_all(1500.05))
    send(session, TEXT, text({"type": "error", "data": "something is wrong"}))
    send(session, TEXT, text({"type": "order", "data": {"order_id": "1", "status": "OPEN"}}))
    send(session, TEXT, b"no JSON")
    send(session, BINARY, frame_of_all(1600.10))
    session.peer.send(close_frame(1001, b"going home"))
    session.read_until_close()


def a_reset(exchange: Exchange, session: Session) -> None:
    exchange.acks.send(session, BINARY, frame_of_all(1700.0))
    session.peer.reset()


def a_bare_close(exchange: Exchange, session: Session) -> None:
    session.peer.send(server_frame(8))
    session.read_until_close()


def until_the_client_closes(exchange: Exchange, session: Session) -> None:
    exchange.acks.send(session, BINARY, frame_of_all(7777.0))
    session.peer.send(server_frame(8, session.read_until_close()))


def until_the_client_stops(exchange: Exchange, session: Session) -> None:
    session.peer.send(server_frame(BINARY, frame_of_all(8888.0)))
    session.peer.wait_for_end()


@contextmanager
def recorded(module: str, url: str, scenario: str, **options: object) -> Iterator[Any]:
    line = [sys.executable, "-W", "ignore", str(RECORDER), module, url, scenario]
    with subprocess.Popen(
        [*line, json.dumps(options)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={"PYTHONPATH": str(ROOT), "TZ": "Asia/Kolkata"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def play(scenario: str, *handlers: Handler | int, **options: object) -> tuple[Record, ...]:
    """Return what each of the two has recorded of an exchange of its own."""
    with ExitStack() as stack:
        exchanges, processes = [], []
        for module in MODULES:
            exchange = Exchange(*handlers)
            server = stack.enter_context(serving(exchange.script))
            exchanges.append(exchange)
            processes.append(stack.enter_context(recorded(module, server.url, scenario, **options)))
        outputs = [process.communicate(timeout=DEADLINE_S) for process in processes]
    # The test server's own words stand where a real one has the standard's, as ours has always.
    for status in HTTPStatus:
        outputs = [
            (output.replace(f"({status} - Whatever)", f"({status} - {status.phrase})"), errors)
            for output, errors in outputs
        ]
    for output, errors in outputs:
        assert "demo-token" not in output + errors
        assert '"returned"' in output, (output, errors)
    assert exchanges[0].subscriptions == exchanges[1].subscriptions
    return tuple([json.loads(line) for line in output.splitlines()] for output, _ in outputs)


def test_a_life_with_every_kind_of_end_is_told_alike() -> None:
    theirs, ours = play("life", a_day, a_reset, 500, a_bare_close, until_the_client_closes)
    assert ours == theirs
    assert [name for name, *_ in theirs if name in ("close", "reconnect")] == [
        *["close"] * 3, "reconnect", "close", "close",
    ]  # fmt: skip
    assert ["order", {"order_id": "1", "status": "OPEN"}] in ours
    assert ["error", 0, "something is wrong"] in ours
    assert ["close", False, 1001, "going home"] in ours
    assert ours[-3:] == [[None], ["close", False, 1000, "enough"], ["returned", None]]


def test_stopping_in_a_callback_is_told_alike() -> None:
    theirs, ours = play("stop", until_the_client_stops)
    assert ours == theirs
    assert ours[-1] == ["returned", None]


def test_stopping_on_close_is_told_alike() -> None:
    theirs, ours = play("stop on close", a_day)
    assert ours == theirs


def test_exhausted_retries_are_told_alike() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        url = f"ws://127.0.0.1:{nobody.getsockname()[1]}"
        with ExitStack() as stack:  # side by side: both mostly wait
            processes = [
                stack.enter_context(recorded(module, url, "exhausted", reconnect_max_tries=2))
                for module in MODULES
            ]
            outputs = [process.communicate(timeout=DEADLINE_S)[0] for process in processes]
    found = [[json.loads(line) for line in output.splitlines()] for output in outputs]
    assert found[1] == found[0]
    assert found[1] == [["reconnect", 1], ["reconnect", 2], ["noreconnect"], ["returned", None]]


@pytest.mark.parametrize("status", [500, 403])
def test_refused_handshakes_are_told_alike_but_a_rejected_token_is_not_tried_again(
    status: int,
) -> None:
    theirs, ours = play("refused", status, reconnect_max_tries=1)
    if status == 403:
        del theirs[2:5]  # their second attempt, with the same token
    assert ours == theirs
    assert [name for name, *_ in ours][-2:] == ["noreconnect", "returned"]
