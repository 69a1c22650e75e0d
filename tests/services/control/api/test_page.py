"""The page's policy: it names the gateway and nobody else."""

from __future__ import annotations

import pytest

from pipeline.services.control.api.page import HEADERS, Page, policy


@pytest.mark.parametrize(
    ("gateway", "source"),
    [
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765"),
        ("ws://feed.example.com:8765", "ws://feed.example.com:8765"),
        ("wss://feed.example.com/ws", "wss://feed.example.com"),
        ("wss://feed.example.com:8443/ws", "wss://feed.example.com:8443"),
        ("ws://[::1]:8765", "ws: wss:"),
        ("ws://127.0.0.1:0", "ws: wss:"),
    ],
)
def test_the_gateway_is_named(gateway: str, source: str) -> None:
    assert f"connect-src 'self' {source};" in policy(gateway)


@pytest.mark.parametrize(
    "hostile",
    ["wss://a; script-src *", "wss://a 'unsafe-inline'", "ws://*", "https://a", "wss://a\r\nX: y"],
)
def test_a_host_that_somebody_sent_adds_nothing(hostile: str) -> None:
    assert policy(hostile) == policy("ws://[::1]:1")


def test_other_files_connect_to_nobody() -> None:
    assert "connect-src 'self';" in HEADERS["content-security-policy"]
    answer = Page().answer("app.js")
    assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]
