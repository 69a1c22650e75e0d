"""Clients in the house: their sockets' progress, their limits, their page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import GatewayConfig
from pipeline.core.enums import Role
from pipeline.services.gateway.channel import Channel
from pipeline.services.gateway.client import Client, Talk
from pipeline.services.gateway.desk import Desk
from pipeline.services.gateway.house import House, limits_of, own_pages
from pipeline.services.gateway.limits import Limits
from pipeline.services.gateway.orders import Orders
from pipeline.services.gateway.outbox import Outbox, Sums
from pipeline.services.gateway.status import Shown
from pipeline.services.keys import Principal
from pipeline.shm import specs
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.strategy.items import OrderUpdate


class Socket(Channel):
    """A channel whose bytes are taken when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.seen_mono_ns = 0
        self.said: list[bytes] = []

    @property
    def buffered(self) -> int:
        return self.waiting

    def outstanding(self) -> int:
        return self.waiting

    def say(self, payload: bytes) -> None:
        self.said.append(payload)
        self.written += len(payload)
        self.waiting += len(payload)


def _ignore(client: Client) -> None:
    pass


def client_of(owner: str = "alice") -> tuple[Client, Socket]:
    socket = Socket()
    client = Client(socket, "127.0.0.1", Talk(), attend=_ignore, watch=_ignore, more=_ignore)

    class Session:
        principal = Principal("id", owner, "main", owner)
        pause_until_ns = 0

    client.session = Session()  # type: ignore[assignment]
    return client, socket


def test_a_socket_that_takes_a_byte_now_and_then_is_not_stalled() -> None:
    client, socket = client_of()
    limit_ns = 5 * NS_PER_S
    assert client.is_stalled(0, limit_ns) is None
    client.say(b"x" * 100)
    for second in range(20):
        socket.waiting -= 1 if second % 4 == 0 else 0
        assert client.is_stalled(second * NS_PER_S, limit_ns) is False, second
    assert client.is_stalled(16 * NS_PER_S + limit_ns - 1, limit_ns) is False
    assert client.is_stalled(16 * NS_PER_S + limit_ns, limit_ns) is True
    socket.waiting = 0
    assert client.is_stalled(100 * NS_PER_S, limit_ns) is None
    client.say(b"more")
    assert client.is_stalled(101 * NS_PER_S, limit_ns) is False
    assert client.talk.messages_out == 2 and client.talk.bytes_out == 104


def test_the_defaults_of_the_file_are_those_of_the_limits() -> None:
    assert limits_of(GatewayConfig()) == Limits()
    assert limits_of(dataclasses.replace(GatewayConfig(), message_bytes=300)).payload_bytes == 300


def test_pages_of_this_host_are_known_by_all_of_its_names() -> None:
    assert "http://localhost:8080" in own_pages("127.0.0.1", [8080])
    assert own_pages("10.1.2.3", [80]) == {"http://10.1.2.3:80"}


def test_an_update_is_for_its_owners_clients() -> None:
    orders = Orders(lambda token: "NSE:INFY" if token == 408065 else None)
    (alice, hers), (bob, his) = client_of("alice"), client_of("bob")
    for client in (alice, bob):
        orders.add(client)

    def update(order: dict[str, Any] | None) -> OrderUpdate:
        return OrderUpdate(
            connection=0, connection_epoch=1, sequence=1, receive_ts_ns=1, receive_mono_ns=1,
            order=order, raw=b"",
        )  # fmt: skip

    orders.hand_on("alice", update({"order_id": "7", "instrument_token": 408065}))
    assert (
        his.said == [] and b'"orderid":"7"' in hers.said[0] and b'"symbol":"INFY"' in hers.said[0]
    )
    orders.hand_on("alice", update(None))
    orders.hand_on("", update({"order_id": "8"}))
    orders.remove(alice)
    orders.hand_on("alice", update({"order_id": "9"}))
    assert len(hers.said) == 1 and his.said == []
    assert (orders.sums.orders_in, orders.sums.orders_out) == (4, 1)


def test_a_page_goes_on_where_a_predecessor_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "gateway.status"
    page = StatusPage(Segment.create(path, specs.gateway_status(), instance_id=bytes(16)))
    page.begin(Role.GATEWAY)
    record = page.record
    record["messages_offered"], record["messages_sent"], record["messages_waiting"] = 10, 6, 3
    record["ticks_in"], record["ticks_wanted"], record["ticks_unwanted"] = 5, 2, 1
    before = Shown(page)._before
    assert before["messages_dropped"] == 4 and before["ticks_unwanted"] == 3
    assert before["connects"] == 0 and "port" not in before and "clients" not in before


def test_a_throttled_house_releases_all() -> None:
    desk = object.__new__(Desk)
    house = House(GatewayConfig(), desk, Sums(), [])
    house.release()
    house.look(1)
    assert house.server.sockets_max > GatewayConfig().connections_max


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_beyond_loopback_only_if_the_file_says_so(host: str) -> None:
    from pipeline.core.config import parse
    from pipeline.core.errors import ConfigError
    from tests.services.control.world import LIMITS

    text = (
        '[[account]]\nname = "a"\napi_key = "demo"\nurl = "simulator"\n[simulator]\n[pool]\n'
        f'[gateway]\nhost = "{host}"\n'
    )
    with pytest.raises(ConfigError, match="reverse proxy"):
        parse(text, limits=LIMITS)
    assert parse(f"{text}allow_insecure = true\n", limits=LIMITS).gateway is not None


def house_of(client: Client, socket: Socket) -> House:
    """Return a house with one client in it, which cannot be cut for real."""
    house = House(GatewayConfig(), object.__new__(Desk), Sums(), [])
    house._clients[socket] = client
    house._watched[client] = None
    client.outbox = Outbox(socket.write, Sums(), [])
    socket.receiver = client
    return house


@pytest.mark.parametrize(("answers", "cut"), [([3_000_000], 0), ([900_000] * 4, 1)])
def test_one_long_answer_is_not_too_much_to_wait_for(answers: list[int], cut: int) -> None:
    client, socket = client_of()
    house = house_of(client, socket)
    for size in answers:
        client.say(b"x" * size)
    house.look(NS_PER_S)
    assert house.cuts.backlog == cut


def test_who_is_not_read_is_not_taken_for_silent() -> None:
    client, socket = client_of()
    house = house_of(client, socket)
    client.session.pause_until_ns = 1
    socket.seen_mono_ns = client.progress_mono_ns = house._looked_ns = NS_PER_S
    for second in range(2, 100):
        house._looked_ns = second * NS_PER_S
        house.look(second * NS_PER_S)
    assert house.cuts.silent == 0 and client.pinged_mono_ns == 0
    client.session.pause_until_ns = 0
    for second in range(100, 123):
        house._looked_ns = second * NS_PER_S
        house.look(second * NS_PER_S)
    assert client.pinged_mono_ns == 100 * NS_PER_S and house.cuts.silent == 1, "told once"


def test_a_gateway_that_was_away_begins_everybodys_time_anew() -> None:
    house = House(GatewayConfig(), object.__new__(Desk), Sums(), [])
    client, socket = client_of()
    house._clients[socket] = client
    house._looked_ns = NS_PER_S
    client.progress_mono_ns = socket.seen_mono_ns = 7
    house.look(NS_PER_S + NS_PER_S // 4)
    assert client.progress_mono_ns == socket.seen_mono_ns == 7
    house.look(100 * NS_PER_S)
    assert client.progress_mono_ns == socket.seen_mono_ns == 100 * NS_PER_S
