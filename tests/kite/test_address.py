"""`socket_url` as one text: what kiteconnect has, what users set, and what is refused."""

from __future__ import annotations

import kiteconnect
import pytest

from pipeline.core.secrets import Secret
from pipeline.kite.address import Address, read_address

LIVE = Address("wss://ws.kite.trade", "key", Secret("the-secret-token"))


def test_it_is_kiteconnects() -> None:
    assert LIVE.socket_url == kiteconnect.KiteTicker("key", "the-secret-token").socket_url
    assert LIVE._replace(access_token=None).socket_url.endswith("&access_token=None")


@pytest.mark.parametrize(
    "address", [LIVE, LIVE._replace(user_id="AB1234"), LIVE._replace(root="ws://127.0.0.1:8765/x")]
)
def test_what_is_shown_can_be_set(address: Address) -> None:
    found = read_address(address.socket_url)
    assert (found.socket_url, found.endpoint) == (address.socket_url, address.endpoint)


def test_neither_key_nor_token_is_part_of_the_endpoint() -> None:
    assert LIVE.endpoint == "wss://ws.kite.trade"
    assert LIVE._replace(user_id="AB1234").endpoint == "wss://ws.kite.trade?user_id=AB1234"
    assert "the-secret-token" not in repr(LIVE)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("wss://x", "found no api_key"),
        ("wss://x?api_key=k", "found no access_token"),
        ("wss://x?api_key=k&access_token=", "found no access_token"),
        ("wss://x?api_key=k&enctoken=canary", "found unknown 'enctoken'"),
        ("wss://x?api_key=k&access_token=canary&access_token=canary", "found more"),
        ("wss://x?api_key=k&access_token=canary#x", "found more"),
        ("wss://x?api_key=k&access_token=canary&user_id=a%26b", "user_id: expected"),
    ],
)
def test_anything_else_is_one_sentence_without_its_secrets(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        read_address(url)
    assert "canary" not in str(error.value) and "\n" not in str(error.value)
