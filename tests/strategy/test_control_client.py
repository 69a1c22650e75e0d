"""One connection to the control process: requests, answers, and what goes wrong."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.control import Subscribe
from pipeline.core.errors import (
    CapacityError,
    ControlUnavailable,
    RequestRefused,
    UnknownInstruments,
)
from pipeline.core.local_socket import listen_local
from pipeline.strategy.control_client import ControlClient
from tests.conftest import wait_until
from tests.strategy.fake_control import FakeControl


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeControl]:
    with FakeControl(tmp_path / "control.sock", capacity=4) as running:
        yield running


def connect(server: FakeControl, timeout_s: float = 30.0) -> ControlClient:
    client = ControlClient(server.path, client="t", timeout_s=timeout_s)
    client.hello()
    return client


def test_requests_are_answered_in_order(server: FakeControl) -> None:
    server.documents["stats"] = {"total_accounts": 0}
    with ControlClient(server.path, client="t", timeout_s=30) as client:
        assert client.hello()["instance"] == "fake"
        assert client.ask("stats") == {"total_accounts": 0}
        assert client.request(Subscribe(instruments=[1, 2]))["accepted"] == 2
    assert [request.id for _, request in server.heard] == [1, 2, 3]
    assert server.heard[0][1].pid == os.getpid()  # type: ignore[union-attr]


def test_a_refusal_is_an_error_with_its_numbers(server: FakeControl) -> None:
    with connect(server) as client:
        with pytest.raises(CapacityError) as full:
            client.request(Subscribe(instruments=[1, 2, 3, 4, 5]))
        assert (full.value.requested, full.value.accepted, full.value.available) == (5, 0, 4)
        with pytest.raises(UnknownInstruments) as unknown:
            client.request(Subscribe(instruments=["NSE:INFI"]))
        assert unknown.value.unknown == {"NSE:INFI": ("NSE:408065",)}
        with pytest.raises(RequestRefused) as refused:
            client.ask("weather")
        assert refused.value.code == "not_found"
    assert server.of("t") == {}


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ControlUnavailable, match="does not listen"):
        ControlClient(tmp_path / "control.sock", client="t")


def test_an_answer_that_does_not_come_ends_the_connection(server: FakeControl) -> None:
    with connect(server) as client:
        server.hanging = True
        client.timeout_s = 0.05
        with pytest.raises(ControlUnavailable, match="timed out"):
            client.ask("stats")
        server.hanging, client.timeout_s = False, 30
        with pytest.raises(ControlUnavailable):  # the late answer would be taken for this one's
            client.ask("stats")


def test_a_server_that_dies_is_seen_by_who_waits(server: FakeControl) -> None:
    client = connect(server)
    waiting = threading.Thread(target=client.wait_for_end, args=(30.0,))
    waiting.start()
    server.die()
    waiting.join(30)
    assert not waiting.is_alive()
    with pytest.raises(ControlUnavailable):
        client.ask("stats")
    client.close()


def test_shut_ends_a_request_in_another_thread(server: FakeControl) -> None:
    client = connect(server)
    server.hanging = True
    caught: list[ControlUnavailable] = []

    def ask() -> None:
        try:
            client.ask("stats")
        except ControlUnavailable as error:
            caught.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: len(server.heard) == 2, timeout_s=30, what="the request")
    client.shut()
    asking.join(30)
    assert len(caught) == 1
    client.close()


def test_what_is_no_answer_is_an_error(tmp_path: Path) -> None:
    listener = listen_local(tmp_path / "control.sock")
    listener.setblocking(True)

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(b"220 welcome\n")

    thread = threading.Thread(target=serve)
    thread.start()
    client = ControlClient(tmp_path / "control.sock", client="t", timeout_s=30)
    with client, pytest.raises(ControlUnavailable, match="no answer"):
        client.hello()
    thread.join(30)
    listener.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the server is a thread
def test_a_forked_child_does_not_hold_the_connection(server: FakeControl) -> None:
    """The control process must see the parent's end even while a child of it lives on."""
    client = connect(server)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        theirs.close()
        ours.recv(1)  # lives until the parent says so
        os._exit(0 if client._sock.fileno() == -1 else 1)
    ours.close()
    server.documents["stats"] = {}
    assert client.ask("stats") == {}  # the parent's is as it was
    client.close()
    theirs.sendall(b".")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    theirs.close()
