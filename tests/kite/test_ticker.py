"""KiteTicker as a class: kiteconnect's interface, and what it says to wrong arguments."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import kiteconnect
import pytest

import pipeline.kite
from pipeline.core.errors import InstanceNotFound, NotConnected, NotSupportedYet
from pipeline.kite import KiteTicker
from pipeline.kite.response import Connection

METHODS = (
    "connect", "is_connected", "close", "stop", "stop_retry", "subscribe", "unsubscribe",
    "set_mode", "resubscribe",
)  # fmt: skip


@pytest.fixture
def ticker() -> KiteTicker:
    return KiteTicker("key", "token")


def test_everything_public_is_there(ticker: KiteTicker) -> None:
    theirs = kiteconnect.KiteTicker("key", "token")
    expected = {name for name in dir(theirs) if not name.startswith("_")}
    assert expected - set(dir(ticker)) == set()
    for name in expected - {"socket_url", "reconnect_max_tries", *METHODS}:
        assert getattr(ticker, name) == getattr(theirs, name), name
    assert ticker.socket_url == theirs.socket_url
    assert [vars(ticker)[f"on_{name}"] for name in ("ticks", "close", "order_update")] == [None] * 3


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_arguments_have_the_same_order_and_defaults(name: str) -> None:
    ours, theirs = (
        [
            (parameter.name, parameter.default)
            for parameter in inspect.signature(getattr(cls, name)).parameters.values()
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        for cls in (KiteTicker, kiteconnect.KiteTicker)
    )
    assert ours == theirs


def test_limits_are_kiteconnects(caplog: pytest.LogCaptureFixture) -> None:
    ticker = KiteTicker("key", "token", reconnect_max_tries=1000, reconnect_max_delay=1)
    assert (ticker.reconnect_max_tries, ticker.reconnect_max_delay) == (300, 5)
    assert len(caplog.records) == 2


def test_a_ticker_does_not_show_its_token() -> None:
    ticker = KiteTicker("key", "the-secret-token")
    assert "the-secret-token" not in f"{ticker} {ticker!r} {vars(ticker)}"


def test_the_socket_url_can_be_set_as_scripts_do(ticker: KiteTicker) -> None:
    ticker.socket_url = f"{ticker.socket_url}&user_id=AB1234"  # what Kite's sandbox wants
    assert ticker.socket_url == "wss://ws.kite.trade?api_key=key&access_token=token&user_id=AB1234"
    ticker.socket_url = "wss://ws.kite.trade?api_key=key&access_token=the-secret-token"
    assert "the-secret-token" not in f"{ticker} {ticker!r} {vars(ticker)}"
    with pytest.raises(ValueError, match="found unknown 'enctoken'"):
        ticker.socket_url = "wss://x?api_key=kitefront&enctoken=the-secret-token"
    assert ticker.socket_url.endswith("access_token=the-secret-token")


def test_what_is_twisteds_says_what_there_is_instead(ticker: KiteTicker) -> None:
    assert not hasattr(ticker, "factory")
    with pytest.raises(AttributeError, match=r"reconnect_max_tries, .* stop_retry\(\)"):
        _ = ticker.factory
    connection = Connection(ticker.close)
    with pytest.raises(AttributeError, match=r"ws\.ws\.sendMessage is autobahn's.*subscribe"):
        connection.sendMessage(b"{}")


def test_before_connect_there_is_nobody_to_tell(ticker: KiteTicker) -> None:
    with pytest.raises(NotConnected, match=r"subscribe\(\) before connect\(\)"):
        ticker.subscribe([408065])
    with pytest.raises(AttributeError):  # what kiteconnect raises
        ticker.set_mode("full", [408065])
    assert ticker.is_connected() is False
    ticker.close()
    ticker.stop()
    ticker.stop_retry()


def test_wrong_tokens_are_refused(ticker: KiteTicker) -> None:
    with pytest.raises(TypeError, match="expected"):
        ticker.subscribe("408065")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected 1 to 4294967295"):
        ticker.unsubscribe([0])


def test_an_unknown_mode_names_the_known_ones(ticker: KiteTicker) -> None:
    with pytest.raises(ValueError, match="mode 'FULL': expected MODE_LTP, MODE_QUOTE or MODE_FULL"):
        ticker.set_mode("FULL", [408065])


@pytest.mark.parametrize(
    ("ticker", "words"),
    [
        (KiteTicker("key", None), "access_token: found nothing"),  # type: ignore[arg-type]
        (KiteTicker("", "token"), "api_key: found nothing"),
        (KiteTicker("key", "token", root="http://x"), "root 'http://x': expected wss://"),
        (KiteTicker("key", "token", connections=4), "connections=4"),
    ],
)
def test_connect_refuses_what_cannot_work(ticker: KiteTicker, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ticker.connect()


def test_connect_refuses_a_proxy(ticker: KiteTicker) -> None:
    with pytest.raises(NotSupportedYet, match="a proxy is not supported yet"):
        ticker.connect(proxy={"host": "127.0.0.1", "port": 1})


def test_attaching_to_nothing_says_so(shm_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    ticker = KiteTicker("key", "token", instance="nobody", shm_directory=shm_root)
    with pytest.raises(InstanceNotFound, match="nobody"):
        ticker.connect(threaded=True)
    assert "the one given here is ignored" in caplog.text


def test_frames_can_be_parsed_by_hand(ticker: KiteTicker) -> None:
    frame = bytes.fromhex("0001 0008 00063a01 000249f0")
    parsed = ticker._parse_binary(frame)
    assert parsed == kiteconnect.KiteTicker("key", "token")._parse_binary(frame)


def test_the_front_door_imports_kiteconnect_only_when_asked() -> None:
    program = (
        "import sys, pipeline.kite; from pipeline.kite import KiteTicker\n"
        "assert not {'kiteconnect', 'twisted', 'autobahn'} & set(sys.modules)\n"
        "from pipeline.kite import KiteConnect\n"
        "import kiteconnect; assert KiteConnect is kiteconnect.KiteConnect\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)


def test_without_kiteconnect_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kiteconnect", None)
    monkeypatch.delitem(vars(pipeline.kite), "KiteConnect", raising=False)
    with pytest.raises(ImportError, match="pip install kiteconnect"):
        _ = pipeline.kite.KiteConnect
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = pipeline.kite.nothing
    assert {"KiteTicker", "KiteConnect"} <= set(dir(pipeline.kite))
