"""The opening handshake of the simulated exchange: statuses, limits, tokens, slowness, TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websocket import WebSocketBadStatusException

from pipeline.sim.admission import Admission, Admitted, Refusal
from tests.sim.harness import CLOSE, Client, Simulator, simulator

QUICK = ("--instruments", "200", "--interval", "0.02")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("sim"), *QUICK) as process:
        yield process


def status(url: str) -> tuple[int, dict[str, str]]:
    """Open and return the HTTP status; 101 when it worked."""
    try:
        Client(url).ws.shutdown()
    except WebSocketBadStatusException as error:
        return error.status_code, dict(error.resp_headers or {})
    return 101, {}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("?api_key=demo&access_token=demo", 101),
        ("/?api_key=demo3&access_token=demo3", 101),
        ("?api_key=demo&access_token=wrong", 403),
        ("?api_key=nobody&access_token=nobody", 403),
        ("?api_key=demo", 400),
        ("", 400),
        ("/other?api_key=demo&access_token=demo", 404),
    ],
)
def test_the_status_says_what_is_wrong(running: Simulator, target: str, expected: int) -> None:
    assert status(f"ws://127.0.0.1:{running.port}{target}")[0] == expected


def test_what_is_no_websocket_request_is_refused(running: Simulator) -> None:
    for request, expected in (
        (b"GET /?api_key=demo&access_token=demo HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (b"nonsense\r\n\r\n", b""),
        (b"", b""),
    ):
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as sock:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: sock.recv(4096), b""))  # noqa: B023
        assert expected in reply[:30]
    assert status(running.url())[0] == 101


def test_the_fourth_connection_of_a_key_is_refused_evicts_or_is_let_in(running: Simulator) -> None:
    clients = [running.client("demo3") for _ in range(3)]
    code, headers = status(running.url("demo3"))
    assert code == 429 and int(headers["retry-after"]) > 0
    assert status(running.url("demo2"))[0] == 101
    running.command("connection_limit", policy="evict")
    with running.client("demo3"):
        while clients[0].message()[0] != CLOSE:
            pass
    running.wait(lambda stat: sum(c["key"] == "demo3" for c in stat["clients"]) == 2)
    running.command("connection_limit", policy="soft")
    more = [running.client("demo3") for _ in range(4)]
    running.command("connection_limit", policy="refuse")
    for client in (*clients, *more):
        client.ws.shutdown()
    running.wait(lambda stat: not stat["clients"])


def test_refusals_on_request_end_by_count(running: Simulator) -> None:
    running.command("refuse", status=429, count=2, retry_after_s=7)
    assert [status(running.url())[0] for _ in range(3)] == [429, 429, 101]
    running.command("refuse", status=503, seconds=1000, key="demo")
    assert status(running.url())[0] == 503 and status(running.url("demo2"))[0] == 101
    running.command("admit")
    assert status(running.url())[0] == 101


def test_a_revoked_token_leaves_live_sockets_and_refuses_new_ones(running: Simulator) -> None:
    with running.client("demo2") as client:
        running.command("revoke_token", key="demo2")
        assert status(running.url("demo2"))[0] == 403
        client.subscribe([408065])
        assert client.frame()[0].token == 408065
    running.command("rotate_token", key="demo2", token="fresh")
    assert status(running.url("demo2"))[0] == 403
    assert status(running.url("demo2", "fresh"))[0] == 101
    running.command("restore_token", key="demo2")
    assert status(running.url("demo2"))[0] == 101


def test_a_slow_handshake_trickles(running: Simulator) -> None:
    running.command("slow_handshake", gap_ms=1)
    request = (
        "GET /?api_key=demo&access_token=demo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as sock:
        sock.sendall(request.encode())
        pieces = [sock.recv(4096)]
        while b"\r\n\r\n" not in b"".join(pieces):
            pieces.append(sock.recv(4096))
    assert b"".join(pieces).startswith(b"HTTP/1.1 101") and len(pieces) > 10


def test_tls_carries_the_same(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key -out cert"
    subprocess.run([openssl, *command.split()], cwd=tmp_path, check=True, capture_output=True)
    files = ("--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key"))
    load = ("--mode", "load", "--instruments", "3000", "--rate", "200000")
    with simulator(tmp_path, *load, *files) as process:
        url = process.url().replace("ws://", "wss://")
        with Client(url, sslopt={"cert_reqs": ssl.CERT_NONE}) as client:
            from pipeline.sim.market import instrument_tokens

            client.subscribe(instrument_tokens(3000), "full")
            packets = client.packets(lambda p: len(p) > 30_000)
    assert {packet.size for packet in packets} >= {184, 32}


def test_files_that_are_no_certificate_end_it_with_a_sentence(tmp_path: Path) -> None:
    for name in ("cert", "key"):
        (tmp_path / name).write_text("nonsense")
    files = ["--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key")]
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline", "sim", *files], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "expected PEM files that belong together" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_door_counts_and_windows_without_a_socket() -> None:
    door = Admission({"k": "t"}, connection_limit=2)
    path = "/?api_key=k&access_token=t"
    assert door.decide(path, live={"k": 1}, now_s=0.0) == Admitted("k")
    full = door.decide(path, live={"k": 2}, now_s=0.0)
    assert isinstance(full, Refusal) and full.status == 429
    door.refuse(full, now_s=0.0, for_s=5.0)
    assert door.decide(path, live={}, now_s=4.9) == full
    assert door.decide(path, live={}, now_s=5.0) == Admitted("k")
