"""Callers that connect and never ask to the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import h11
import pytest
import uvicorn

from pipeline.services.control.api.rates import Rates
from pipeline.services.control.api.serving import (
    CONCURRENCY,
    CONCURRENCY_OF_ADDRESS,
    CROWD,
    CROWDED_REQUEST_S,
    REQUEST_S,
    Connection,
    Server,
)
from pipeline.services.strangers import Headcount
from tests.services.control.api.served import Served
from tests.supervisor.harness import wait_for


class _Transport:
    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class _Connection:
    """What a server has of a caller."""

    def __init__(self, state: Any = h11.IDLE) -> None:
        self.conn = type("", (), {"their_state": state})()
        self.cycle: object = None
        self.transport = _Transport()

    @property
    def is_cut_off(self) -> bool:
        return self.transport.aborted


@pytest.fixture
def server() -> Server:
    return Server(uvicorn.Config(app=lambda: None))


def test_who_does_not_ask_is_cut_off_and_who_is_answered_is_not(server: Server) -> None:
    silent, slow, served = _Connection(), _Connection(h11.SEND_BODY), _Connection(h11.DONE)
    server.server_state.connections = {silent, slow, served}  # type: ignore[assignment]
    for now_s in (0.0, 1.0, REQUEST_S - 1):
        server.cut_off(now_s)
    assert not silent.is_cut_off and not slow.is_cut_off
    slow.cycle = object()  # another request than the one before
    server.cut_off(REQUEST_S)
    assert silent.is_cut_off and not slow.is_cut_off
    server.cut_off(2 * REQUEST_S)
    assert slow.is_cut_off and not served.is_cut_off


def test_in_a_crowd_there_is_less_patience(server: Server) -> None:
    crowd = [_Connection() for _ in range(CROWD + 1)]
    server.server_state.connections = set(crowd)  # type: ignore[assignment]
    server.cut_off(0.0)
    assert not any(one.is_cut_off for one in crowd)
    server.cut_off(CROWDED_REQUEST_S)
    assert all(one.is_cut_off for one in crowd)


@contextlib.contextmanager
def _idlers(served: Served, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        address = ("127.0.0.1", served.port)
        idlers = [
            stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(count)
        ]
        for number, one in enumerate(idlers):
            one.sendall(
                (b"", b"GET /hea", b"POST /subscriptions HTTP/1.1\r\nHost: x\r\n")[number % 3]
            )
        yield idlers


def test_callers_that_never_ask_shut_nobody_out(served: Served) -> None:
    with _idlers(served, CONCURRENCY + 10):
        wait_for(lambda: served.get("/health", token=None).status == 200, "an answer")


class _Peer(asyncio.Transport):
    """A caller from an address."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 4711)})
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_one_address_does_not_take_all_the_room() -> None:
    async def story() -> None:
        server = Server(uvicorn.Config(app=lambda: None, log_config=None))
        here = Headcount(CONCURRENCY_OF_ADDRESS)

        def come(address: str) -> tuple[Connection, _Peer]:
            one = Connection(
                config=server.config, server_state=server.server_state, app_state={},
                rates=Rates(1.0, ["10.0.0.0/8"]), here=here,
            )  # fmt: skip
            peer = _Peer(address)
            one.connection_made(peer)
            return one, peer

        first = [come("203.0.113.7") for _ in range(CONCURRENCY_OF_ADDRESS)]
        assert not any(peer.aborted for _, peer in first)
        late, refused = come("203.0.113.7")
        assert refused.aborted
        others = [come(address) for address in ("203.0.113.8", "127.0.0.1", "10.0.0.1")]
        assert not any(peer.aborted for _, peer in others)
        for one, _ in [*first, *others, (late, refused)]:
            one.connection_lost(ConnectionResetError())
        assert len(here) == 0 and server.server_state.connections == set()

    asyncio.run(story())
