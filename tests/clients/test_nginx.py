"""The nginx example: nginx takes it, and a client behind its TLS gets ticks."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import websocket

from tests.clients.nginx import check, configure, free_port, nginx, serving
from tests.feed.authority import Authority
from tests.services.control.api.openalgo.house import House
from tests.services.control.api.test_entrance import ticket
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


def test_a_browser_comes_in_through_tls(tmp_path: Path) -> None:
    nginx()
    (tmp_path / "nginx").mkdir()
    house = House(tmp_path)
    try:
        house.ready()
        port = free_port()
        certificate, changed = changes(tmp_path / "nginx", port=port)
        changed["server 127.0.0.1:8080"] = f"server 127.0.0.1:{house.port}"
        with serving(configure(tmp_path / "nginx", changed), port):
            ask = partial(_ask, port, certificate)
            assert ask("GET", "/")[0] == 200
            assert ask("GET", "/metrics")[0] == ask("GET", "/health")[0] == 404  # not for outside
            body = json.dumps({"ticket": ticket(house)})
            own = {"Origin": f"https://localhost:{port}", "Content-Type": "application/json"}
            foreign = {**own, "Origin": "https://evil.example"}
            assert ask("POST", "/auth/session", body, foreign)[0] == 401
            status, _, cookie = ask("POST", "/auth/session", body, own)
            assert status == 200 and cookie.endswith("; Secure")
            _, config, _ = ask("GET", "/api/websocket/config", "", {"Cookie": cookie.split(";")[0]})
        assert config["websocket_url"] == f"wss://localhost:{port}/ws" and config["is_secure"]
    finally:
        house.close()


def _ask(
    port: int, certificate: Path, method: str, path: str, body: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, str]:  # fmt: skip
    """Return the status, the document if there is one, and the cookie that is set."""
    context = ssl.create_default_context(cafile=str(certificate))
    client = http.client.HTTPSConnection("localhost", port, timeout=30.0, context=context)
    with closing(client):
        client.request(method, path, body or None, headers or {})
        answer = client.getresponse()
        content = answer.read()
        kind = answer.getheader("content-type") or ""
        found = json.loads(content) if kind.startswith("application/json") else None
        return answer.status, found, answer.getheader("set-cookie") or ""


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
