"""AmiBroker's plugin and the Excel add-in, replayed byte by byte against the gateway.

Neither runs here; what each sends and how it reads is known from their source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.services.status import snapshot
from tests.clients.raw import Raw, first_frame, masked
from tests.system.gateway_rig import GatewayRun, gateway_config
from tests.system.rig import Run

Make = Callable[..., Run]
#: The plugin's key is always this one, and its lines are in this order.
AMIBROKER = """
GET / HTTP/1.1
Host: HOST
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13
"""
EXCEL = AMIBROKER.replace("dGhlIHNhbXBsZSBub25jZQ==", "x3JJHMbDL1EzLkh9GBhXDw==")
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
RECV_BYTES = 1024
PAYLOAD_MAX = 16_000
INFY = {"symbol": "INFY", "exchange": "NSE"}
#: A ping of 4 bytes, masked, without the 4 bytes.
BROKEN_PING = b"\x89\x84\x12\x34\x56\x78"


@pytest.fixture
def gateway(make_run: Make, tmp_path: Path) -> Iterator[GatewayRun]:
    simulator = "rate = 60.0\ninterval_s = 0.1"
    run = make_run(
        connections=1, count=30, pool="", simulator=simulator, more=gateway_config(tmp_path)
    )
    yield GatewayRun(run.start())
    assert run.stop() == 0
    run.assert_nothing_left()


def test_they_get_what_they_can_read(gateway: GatewayRun) -> None:
    """One run for both: starting one is most of the time."""
    key = gateway.key()
    excel(gateway, key)
    amibroker(gateway, key)


# ---- AmiBroker ------------------------------------------------------------------------------


def amibroker(gateway: GatewayRun, key: str) -> None:
    with connected_amibroker(gateway, key) as plugin:
        for message in poll(plugin, 5):
            assert b'"symbol":"INFY"' in message or b'"symbol": "INFY"' in message
            for field in (b'"ltp":', b'"last_trade_quantity":', b'"timestamp":'):
                assert field in message
        handshakes = count_handshakes(gateway)
        plugin.socket.sendall(BROKEN_PING)
        # The next message is swallowed: its beginning is taken for the ping's payload.
        plugin.socket.sendall(masked(b'{"action":"get_broker_info"}'))
        assert b"broker_info" not in plugin.wait_for_end()
    with connected_amibroker(gateway, key) as plugin:  # what it does next
        poll(plugin, 3)
    assert count_handshakes(gateway) == handshakes, "the broker was not asked to connect again"


def connected_amibroker(gateway: GatewayRun, key: str) -> Raw:
    plugin = Raw(gateway.url)
    answer = plugin.upgrade(AMIBROKER)
    assert len(answer) < RECV_BYTES and answer.endswith(b"\r\n\r\n"), "no greeting behind it"
    assert b"Switching Protocols" in answer and ACCEPT in answer
    plugin.send({"action": "authenticate", "api_key": key})
    reply = plugin.socket.recv(RECV_BYTES)  # it reads once
    frame = first_frame(reply)
    assert frame is not None and len(reply) == frame.size < RECV_BYTES
    assert b"success" in frame.payload
    plugin.send({"action": "subscribe", **INFY, "mode": 2})
    return plugin


def poll(plugin: Raw, wanted: int) -> list[bytes]:
    """Read as the plugin does: each 100 ms the first frame of one recv, the rest is thrown away.

    What it throws away may end in the middle of a frame; the next read then begins there, and what
    does not begin with a frame's head is passed over.
    """
    found: list[bytes] = []
    deadline = time.monotonic() + 30.0
    while len(found) < wanted:
        assert time.monotonic() < deadline, f"{len(found)} readable messages"
        time.sleep(0.1)
        raw = plugin.socket.recv(PAYLOAD_MAX)
        assert raw, "the server has closed"
        if raw[0] != 0x81:
            continue
        frame = first_frame(raw)
        if frame is not None and b'"market_data"' in frame.payload:
            assert len(frame.payload) <= PAYLOAD_MAX
            found.append(frame.payload)
    return found


def count_handshakes(gateway: GatewayRun) -> int:
    return sum(c.feed_counters["handshakes"] for c in snapshot(gateway.run.paths).connections)


# ---- Excel ----------------------------------------------------------------------------------


def excel(gateway: GatewayRun, key: str) -> None:
    """It waits for no answer: everything is said at once, and all of it has to count."""
    with Raw(gateway.url) as book:
        assert b"101 Switching Protocols" in book.upgrade(EXCEL)
        book.send(
            {"action": "authenticate", "api_key": key},
            *({"action": "subscribe", **INFY, "mode": mode} for mode in (1, 2)),
            {"action": "subscribe", **INFY, "mode": 3, "depth_level": 5},
            {"action": "subscribe", "symbol": "NOSUCH", "exchange": "NSE", "mode": 1},
            {"action": "get_broker_info"},
            {"action": "get_supported_brokers"},
            {"action": "ping", "timestamp": 5},
            {"action": "subscribe_orders"},
            {"action": "nosuch"},
        )
        assert book.until("auth")["status"] == "success"
        acks = [book.until("subscribe") for _ in range(4)]
        assert [ack["status"] for ack in acks] == ["success"] * 3 + ["partial"]
        assert acks[2]["subscriptions"][0]["depth"] == 5
        assert book.until("broker_info")["broker"] == "zerodha"
        assert book.until("supported_brokers")["brokers"] == ["zerodha"]
        assert book.until("pong")["client_timestamp"] == 5
        assert book.until("subscribe_orders")["status"] == "success"
        error = book.until("error")  # it knows errors by this
        assert error.get("type") is None and error["status"] == "error"
        ticks = ticks_by_mode(book)
        book.send(*({"action": "unsubscribe", **INFY, "mode": mode} for mode in (1, 2, 3)))
        for _ in range(3):
            assert book.until("unsubscribe")["status"] == "success"
    check_ticks(ticks)


def ticks_by_mode(book: Raw) -> dict[int, dict[str, Any]]:
    """Return a full message of each mode; what is not asked for at exactly a mode is dropped."""
    found: dict[int, dict[str, Any]] = {}
    deadline = time.monotonic() + 30.0
    while set(found) != {1, 2, 3}:
        assert time.monotonic() < deadline, f"messages of {sorted(found)} only"
        tick = book.until("market_data")
        data = tick["data"]
        assert (data["symbol"], data["exchange"]) == (tick["symbol"], tick["exchange"])
        whole = {1: "ltp", 2: "volume", 3: "depth"}[tick["mode"]]
        if whole in data:
            found[tick["mode"]] = tick
    return found


def check_ticks(ticks: dict[int, dict[str, Any]]) -> None:
    """What typed clients (Excel, .NET, Java, Rust) take for integers is an integer."""
    for tick in ticks.values():
        assert type(tick["mode"]) is int
        assert type(tick["data"]["timestamp"]) is int and tick["data"]["timestamp"] > 10**12
        assert type(tick["data"]["ltp"]) is float
    assert "depth" not in ticks[1]["data"] and "depth" not in ticks[2]["data"]
    assert type(ticks[2]["data"]["volume"]) is int
    levels = [*ticks[3]["data"]["depth"]["buy"], *ticks[3]["data"]["depth"]["sell"]]
    assert len(levels) == 10
    for level in levels:
        assert {type(level[name]) for name in ("quantity", "orders")} == {int}
        assert level["quantity"] < 2**31
