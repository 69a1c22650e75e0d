"""The exchange's REST side, with kiteconnect unmodified; limits and faults with time in hand."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.sim.actions import parse_action
from pipeline.sim.http import Answer, Asked
from pipeline.sim.perform import perform
from tests.sim.harness import PATIENCE_S, Client, Simulator, simulator
from tests.sim.rig import Rig, rig

QUICK = ("--instruments", "200", "--interval", "0.02", "--rate", "max")
TOKENS = {"NSE:INFY": 408065, "NSE:NIFTY 50": 256265, "BSE:SENSEX": 265}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("sim"), *QUICK) as process:
        process.command("rest_limits", quote=0, default=0)
        yield process


@contextmanager
def official(running: Simulator, key: str = "demo", token: str | None = None) -> Iterator[Any]:
    kiteconnect = pytest.importorskip("kiteconnect")
    root = f"http://127.0.0.1:{running.port}"
    client = kiteconnect.KiteConnect(key, token or key, root=root, timeout=PATIENCE_S)
    try:
        yield client
    finally:
        client.reqsession.close()


def exceptions() -> Any:
    return pytest.importorskip("kiteconnect").exceptions


# ---- the official client


def test_quotes_have_kites_shapes(running: Simulator) -> None:
    with official(running) as kite:
        quotes = kite.quote(["NSE:INFY", "BSE:SENSEX", "NSE:NOBODY"])
        ohlc = kite.ohlc(["NSE:INFY"])
        ltp = kite.ltp(["NSE:INFY", "NSE:NIFTY 50"])
    assert quotes.keys() == {"NSE:INFY", "BSE:SENSEX"}
    infy = quotes["NSE:INFY"]
    assert infy.keys() == {
        *("instrument_token", "timestamp", "last_trade_time", "last_price", "last_quantity"),
        *("buy_quantity", "sell_quantity", "volume", "average_price", "oi", "oi_day_high"),
        *("oi_day_low", "net_change", "lower_circuit_limit", "upper_circuit_limit", "ohlc"),
        "depth",
    }
    assert infy["instrument_token"] == 408065 and 1400 < infy["last_price"] < 1700
    assert infy["timestamp"].year >= 2024
    assert [len(infy["depth"][side]) for side in ("buy", "sell")] == [5, 5]
    assert infy["depth"]["buy"][0]["price"] < infy["depth"]["sell"][0]["price"]
    assert ohlc["NSE:INFY"].keys() == {"instrument_token", "last_price", "ohlc"}
    assert {name: found["instrument_token"] for name, found in ltp.items()} == {
        "NSE:INFY": 408065,
        "NSE:NIFTY 50": 256265,
    }


def test_the_prices_are_those_of_the_websocket(running: Simulator) -> None:
    """Of a client that was behind states are skipped, so it may take more than one quote."""
    deadline_s = time.monotonic() + PATIENCE_S
    with official(running) as kite, running.client() as client:
        client.subscribe([408065], "full")
        price = None
        while price is None:
            assert time.monotonic() < deadline_s
            quote = kite.quote(["NSE:INFY"])["NSE:INFY"]
            volume = 0
            while volume < quote["volume"]:
                for packet in client.frame():
                    volume = packet.volume or 0
                    if volume == quote["volume"]:
                        price = packet.last_price
    assert price / 100 == quote["last_price"]


def test_the_instrument_list_is_what_streams(running: Simulator) -> None:
    from pipeline.sim.market import instrument_tokens

    with official(running) as kite:
        rows = kite.instruments()
        nse = kite.instruments("NSE")
        with pytest.raises(exceptions().InputException):
            kite.instruments("NOWHERE")
    assert [row["instrument_token"] for row in rows] == instrument_tokens(200)
    assert len({(row["exchange"], row["tradingsymbol"]) for row in rows}) == 200
    assert {row["exchange"] for row in nse} == {"NSE"} and len(nse) > 40
    names = {f"{row['exchange']}:{row['tradingsymbol']}": row for row in rows}
    assert {name: names[name]["instrument_token"] for name in TOKENS} == TOKENS
    with official(running) as kite:
        found = kite.ltp(list(names))
    assert {name: ltp["instrument_token"] for name, ltp in found.items()} == {
        name: row["instrument_token"] for name, row in names.items()
    }


def test_a_wrong_pair_gets_kites_403(running: Simulator) -> None:
    with official(running, token="wrong") as kite, pytest.raises(exceptions().TokenException) as e:
        kite.profile()
    assert e.value.code == 403
    with official(running) as kite:
        assert kite.profile()["user_id"] == "SIMDEMO"


def test_a_login_makes_a_new_token_and_ends_the_old_one(running: Simulator) -> None:
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    address = f"http://127.0.0.1:{running.port}/connect/login?v=3&api_key=demo2"
    opener = urllib.request.build_opener(NoRedirect)
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(address, timeout=PATIENCE_S)
    location = caught.value.headers["Location"]
    caught.value.close()
    assert caught.value.code == 302 and "status=success" in location
    request_token = location.partition("request_token=")[2]
    with official(running, "demo2") as kite:
        assert kite.profile()["user_id"] == "SIMDEMO2"
        with pytest.raises(exceptions().TokenException, match="checksum"):
            kite.generate_session(request_token, "wrong-secret")
        session = kite.generate_session(request_token, "demo2-secret")
        assert kite.profile()["user_id"] == session["user_id"] == "SIMDEMO2"
        with pytest.raises(exceptions().TokenException, match="expired"):
            kite.generate_session(request_token, "demo2-secret")
        with Client(running.url("demo2", session["access_token"])) as client:
            client.subscribe([408065])
            assert client.frame()[0].token == 408065
        kite.invalidate_access_token()
        with pytest.raises(exceptions().TokenException):
            kite.profile()
    with official(running, "demo2") as kite, pytest.raises(exceptions().TokenException):
        kite.profile()
    running.command("restore_token", key="demo2")


def test_a_revoked_token_ends_rest_and_openings_alike(running: Simulator) -> None:
    running.command("revoke_token", key="demo3")
    with official(running, "demo3") as kite, pytest.raises(exceptions().TokenException):
        kite.profile()
    running.command("restore_token", key="demo3")
    with official(running, "demo3") as kite:
        assert kite.profile()["user_shortname"] == "demo3"


def test_faults_reach_the_official_client(running: Simulator) -> None:
    kinds = exceptions()
    with official(running) as kite:
        running.command("rest_refuse", status=429, path="/quote", retry_after_s=3)
        with pytest.raises(kinds.NetworkException) as caught:
            kite.ltp(["NSE:INFY"])
        assert caught.value.code == 429
        running.command("rest_garble")
        with pytest.raises(kinds.DataException, match="Unknown Content-Type"):
            kite.profile()
        running.command("rest_drop", count=3)
        with pytest.raises(OSError):
            kite.profile()
        running.command("rest_refuse", status=503, seconds=1000, key="demo2")
        running.command("rest_calm")
        running.command("rest_limits", quote=0, default=0)
        assert kite.profile()["user_id"] == "SIMDEMO"


# ---- the port


def talk(running: Simulator, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as sock:
        for piece in pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


STATE = b"GET /sim/state HTTP/1.1\r\nHost: x\r\n\r\n"


def test_one_port_answers_plain_http(running: Simulator) -> None:
    found = talk(running, *(bytes([byte]) for byte in STATE))
    state = json.loads(found.partition(b"\r\n\r\n")[2])
    assert state["clients"] == [] and state["rest"]["calls"]
    assert found.startswith(b"HTTP/1.1 200 OK\r\n")


def test_requests_on_one_connection_are_answered_in_order(running: Simulator) -> None:
    running.command("rest_delay", ms=30, path="/user", count=1)
    first = b"GET /user/profile HTTP/1.1\r\nAuthorization: token demo:demo\r\n\r\n"
    found = talk(running, first + STATE + first.replace(b"1.1", b"1.0") + STATE)
    heads = [part for part in found.split(b"\r\n") if b"HTTP/1.1" in part]
    assert len(heads) == 3 and found.index(b"SIMDEMO") < found.index(b'"clients"')


@pytest.mark.parametrize("bad", [b"POST / HTTP/1.1\r\nx\r\n\r\n", b"GET /quote\r\n\r\n"])
def test_what_is_no_request_gets_400_or_nothing(running: Simulator, bad: bytes) -> None:
    assert talk(running, bad)[:12] in (b"HTTP/1.1 400", b"")
    assert talk(running, STATE).startswith(b"HTTP/1.1 200")


def test_tls_carries_rest_too(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key -out cert"
    alt = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([openssl, *command.split(), *alt], cwd=tmp_path, check=True, capture_output=True)
    files = ("--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key"))
    context = ssl.create_default_context(cafile=str(tmp_path / "cert"))
    with simulator(tmp_path, "--instruments", "9000", *files) as process:
        request = urllib.request.Request(
            f"https://127.0.0.1:{process.port}/instruments",
            headers={"Authorization": "token demo:demo"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as response:
            rows = response.read().decode().splitlines()
    assert len(rows) == 9001


# ---- time in hand


def ask(made: Rig, path: str, ms: float, *, key: str = "demo", **query: str) -> Answer:
    headers = {"authorization": f"token {key}:{key}"}
    values = {name: [value] for name, value in query.items()}
    return made.exchange.desk.answer(Asked("GET", path, values, headers, {}), ms / 1000)


def test_calls_are_limited_per_second_key_and_class() -> None:
    with rig() as made:

        def quote(ms: float, key: str = "demo", path: str = "/quote/ltp") -> int:
            return ask(made, path, ms, key=key, i="NSE:INFY").status.value

        assert [quote(0), quote(999), quote(999, path="/quote"), quote(1000)] == [
            200,
            429,
            429,
            200,
        ]
        assert quote(1000, key="demo2") == 200
        profile = [ask(made, "/user/profile", 1000).status.value for _ in range(11)]
        assert profile == [200] * 10 + [429]
        limited = json.loads(ask(made, "/user/profile", 1001).body)
        assert limited["error_type"] == "NetworkException"
        stat = made.exchange.desk.stat()
        assert stat["most_in_a_second"] == {"quote": 2, "default": 11}
        assert stat["calls"]["GET /quote/ltp"] == 4 and stat["statuses"]["429"] == 4


def test_troubles_end_by_count_time_key_and_path() -> None:
    with rig() as made:
        made.exchange.desk.per_second |= {"quote": 0, "default": 0}

        def trouble(name: str, **parameters: object) -> None:
            action, problems = parse_action({"action": name, **parameters}, "test")
            assert action is not None, problems
            perform(made.exchange, action, now_s=10.0)

        def status(path: str = "/user/profile", s: float = 10.0, key: str = "demo") -> int:
            return ask(made, path, s * 1000, key=key).status.value

        trouble("rest_refuse", status=503, count=2)
        assert [status(), status(), status()] == [503, 503, 200]
        trouble("rest_refuse", status=500, seconds=5, path="/user", key="demo2")
        assert [status(key="demo2", s=14.9), status(key="demo2", s=15.0), status()] == [
            500,
            200,
            200,
        ]
        trouble("rest_delay", ms=250, count=1)
        assert [ask(made, "/user/profile", 0).delay_s for _ in range(2)] == [0.25, 0.0]
        trouble("rest_drop")
        assert ask(made, "/user/profile", 0).drop
        trouble("rest_refuse", status=429, retry_after_s=9, seconds=5)
        assert ask(made, "/user/profile", 10_000).headers == {"Retry-After": "9"}
        trouble("rest_calm")
        assert status() == 200 and made.exchange.desk.per_second["quote"] == 1


def test_routes_and_sizes_that_do_not_exist() -> None:
    with rig() as made:
        made.exchange.desk.per_second |= {"quote": 0, "default": 0}
        desk = made.exchange.desk
        headers = {"authorization": "token demo:demo"}
        for count, status in ((0, 400), (500, 200), (501, 400)):
            names = {"i": [f"NSE:X{i}" for i in range(count)]}
            answer = desk.answer(Asked("GET", "/quote", names, headers, {}), 0.0)
            assert answer.status.value == status
        assert desk.answer(Asked("GET", "/user/other", {}, headers, {}), 0.0).status.value == 404
        assert desk.answer(Asked("POST", "/quote", {}, headers, {}), 0.0).status.value == 404
        login = Asked("GET", "/connect/login", {"api_key": ["nobody"]}, {}, {})
        assert desk.answer(login, 0.0).status.value == 400
        assert b"address" in desk.answer(Asked("GET", "/sim/back", {}, {}, {}), 0.0).body
        text = "demo" + "x" * 6 + "demo-secret"
        form = {
            "api_key": ["demo"],
            "request_token": ["x" * 6],
            "checksum": [hashlib.sha256(text.encode()).hexdigest()],
        }
        answer = desk.answer(Asked("POST", "/session/token", {}, {}, form), 0.0)
        assert answer.status.value == 403
        form = {"api_key": ["demo"], "access_token": ["wrong"]}
        answer = desk.answer(Asked("DELETE", "/session/token", form, {}, {}), 0.0)
        assert answer.status.value == 403
