"""Names under a deadline, and a lookup that hangs."""

from __future__ import annotations

import socket
import threading

import pytest

from pipeline.feed.deadline import Cancelled, Deadline
from pipeline.feed.resolver import ResolveFailed, Resolver


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_an_address_needs_no_lookup(
    host: str, family: socket.AddressFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a lookup"))
    found = Resolver().resolve(host, 80, Deadline(1))
    assert [(address.family, address.sockaddr[:2]) for address in found] == [(family, (host, 80))]


def test_a_name_is_looked_up() -> None:
    found = Resolver().resolve("localhost", 80, Deadline(10))
    assert any(address.sockaddr[0] in ("127.0.0.1", "::1") for address in found)


def test_a_wish_to_stop_is_heard_during_a_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    resolver = Resolver()
    with pytest.raises(Cancelled):
        resolver.resolve("slow.example", 80, Deadline(10, lambda: False))
    released.set()
    with pytest.raises(ResolveFailed, match="no address"):
        resolver.resolve("slow.example", 80, Deadline(10))


def test_a_resolver_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    calls = []

    def hang(host: str, port: int, **_: object) -> list[object]:
        calls.append(host)
        released.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = Resolver()
    for _ in range(3):
        with pytest.raises(ResolveFailed, match="no answer"):
            resolver.resolve("slow.example", 443, Deadline(0.1))
    released.set()
    addresses = resolver.resolve("slow.example", 443, Deadline(10))
    assert addresses[0].sockaddr == ("127.0.0.1", 443)
    assert calls == ["slow.example"]
