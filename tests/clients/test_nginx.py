"""The nginx example: nginx takes it, and a client behind its TLS gets ticks."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import websocket

from tests.clients.nginx import check, configure, free_port, nginx, serving
from tests.feed.authority import Authority
from tests.system.gateway_rig import GatewayRun, gateway_config
from tests.system.rig import Run

HOSTS = 'hosts = ["localhost"]\ntrusted_proxies = ["127.0.0.1"]'


def changes(folder: Path, *, port: int, gateway: int = 8765) -> tuple[Path, dict[str, str]]:
    certificate, key = Authority(folder).self_signed()
    return certificate, {
        "/etc/ssl/feed.example.pem": str(certificate),
        "/etc/ssl/private/feed.example.key": str(key),
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "server 127.0.0.1:8765": f"server 127.0.0.1:{gateway}",
        "server_name feed.example": "server_name localhost",
    }


def test_nginx_takes_it(tmp_path: Path) -> None:
    nginx()
    _, changed = changes(tmp_path, port=free_port())
    assert "test is successful" in check(configure(tmp_path, changed))


@pytest.mark.full
@pytest.mark.timeout(300)
def test_ticks_come_through_tls(make_run: Callable[..., Run], tmp_path: Path) -> None:
    nginx()
    simulator = "rate = 60.0\ninterval_s = 0.1"
    run = make_run(
        connections=1, count=30, pool="", simulator=simulator, more=gateway_config(tmp_path, HOSTS)
    )
    gateway = GatewayRun(run.start())
    port, gateway_port = free_port(), urlsplit(gateway.url).port
    assert gateway_port is not None
    folder = tmp_path / "nginx"
    folder.mkdir()
    certificate, changed = changes(folder, port=port, gateway=gateway_port)
    with serving(configure(folder, changed), port):
        client = websocket.create_connection(
            f"wss://localhost:{port}/ws", timeout=30.0,
            sslopt={"context": ssl.create_default_context(cafile=str(certificate))},
        )  # fmt: skip
        client.send(json.dumps({"action": "authenticate", "api_key": gateway.key()}))
        client.send(json.dumps({"action": "subscribe", "symbols": ["NSE:INFY"], "mode": 1}))
        messages = [json.loads(client.recv()) for _ in range(10)]
        client.close()
    assert [message["type"] for message in messages] == ["auth", "subscribe"] + ["market_data"] * 8
    assert run.stop() == 0
    run.assert_nothing_left()
