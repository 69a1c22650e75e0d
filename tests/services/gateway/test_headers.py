"""Origin and Host: strangers' pages and strangers' names."""

from __future__ import annotations

import pytest

from pipeline.services.gateway.headers import page_origins, refuse_headers

PAGES = frozenset({"https://charts.example", "http://Desk.example:3000"})
ORIGINS = PAGES | page_origins("127.0.0.1", 8080)
NAMES = ["gateway.example", "other.example:8443"]


def refusal(*, origin: str | None = None, host: str | None = "127.0.0.1:8765") -> str | None:
    found = refuse_headers(origin=origin, host=host, origins=ORIGINS, names=NAMES)
    assert found is None or found.which in found.text.lower()
    return found and found.text


@pytest.mark.parametrize(
    "origin",
    [
        None, "https://charts.example", "http://desk.example:3000", "http://localhost:8080",
        "http://127.0.0.1:8080", "http://[::1]:8080", "HTTP://LOCALHOST:8080",
    ],
)  # fmt: skip
def test_programs_listed_pages_and_our_own_may_connect(origin: str | None) -> None:
    assert refusal(origin=origin) is None


@pytest.mark.parametrize(
    "origin",
    [
        "", "null", "https://evil.example", "http://charts.example", "https://charts.example:444",
        "https://charts.example.evil.example", "http://localhost.evil.example",
        "http://evil.example@localhost", "file://", "localhost", "http://", "http://127.0.0.1:x",
        "http://localhost/page", "http://[::1", "ws://localhost", "https://charts.example ",
        "http://localhost:5000", "https://localhost:8080", "http://localhost",
    ],
)  # fmt: skip
def test_pages_of_strangers_are_refused(origin: str) -> None:
    text = refusal(origin=origin)
    assert text is not None and "Origin" in text and "evil" not in text


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8765", "localhost", "LOCALHOST:8765", "[::1]:8765", "10.1.2.3",
        "gateway.example", "Gateway.Example:1", "other.example:8443",
    ],
)  # fmt: skip
def test_addresses_and_own_names_are_hosts(host: str) -> None:
    assert refusal(host=host) is None


@pytest.mark.parametrize(
    "host", [None, "", "rebound.example", "other.example", "localhost.evil", "a@localhost", "[::1"]
)
def test_names_of_strangers_are_no_hosts(host: str | None) -> None:
    text = refusal(host=host)
    assert text is not None and "Host" in text


def test_a_page_elsewhere_has_one_origin() -> None:
    assert page_origins("10.1.2.3", 80) == {"http://10.1.2.3:80"}
    assert page_origins("2001:db8::1", 80) == {"http://[2001:db8::1]:80"}
    assert page_origins("localhost", 80) == page_origins("127.0.0.1", 80) == page_origins("::1", 80)


def test_the_address_itself_is_no_stranger() -> None:
    """websocket-client, and so PyPI's openalgo, sends where it connects to as its origin."""
    for origin, host, fine in (
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("https://Feed.example", "feed.example", True),
        ("http://127.0.0.1:8766", "127.0.0.1:8765", False),
        ("http://127.0.0.1:8765.e.example", "127.0.0.1:8765", False),
        ("http://e.example", "e.example", False),  # the Host is none of ours
        ("ftp://127.0.0.1:8765", "127.0.0.1:8765", False),
        ("null", "127.0.0.1:8765", False),
        ("127.0.0.1:8765", "127.0.0.1:8765", False),
    ):
        refusal = refuse_headers(origin=origin, host=host, origins=(), names=("feed.example",))
        assert (refusal is None) == fine, origin
