"""OpenAlgo's HTTP on a whole run: prices of what nobody streams, a page's way in, no secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.core.enums import SegmentKind, State
from pipeline.instruments import load
from pipeline.services.keys import KeyStore
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from tests.services.control.api.served import Reply, call
from tests.system.http_client import API, HttpClient
from tests.system.rig import Run, wait_for
from tests.system.test_owners import ALICE, OTHERS, TWO_DECODERS

Make = Callable[..., Run]

NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}
INFY = {"symbol": "INFY", "exchange": "NSE"}
MORE = '[gateway]\nport = 0\nkeys_file = "keys.sqlite"\n[instruments]\nfile = "list.sqlite"\n'
POOL = "linger_s = 60\nwindow_check_s = 0.2"


class Browser:
    """Sends its cookie with everything, and the csrf token once it has it."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self.headers: dict[str, str] = {}

    def call(self, method: str, path: str, body: Any = None) -> Reply:
        return call(
            self._http.port, method, path, token=None, body=body, headers=self.headers
        )  # fmt: skip

    def enter(self, address: str) -> str:
        """Come in by an address; return the cookie's value."""
        ticket = address.partition("#ticket=")[2].strip()
        reply = self.call("POST", "/auth/session", {"ticket": ticket})
        assert reply.status == 200, reply
        cookie = reply.headers["set-cookie"].partition(";")[0]
        self.headers = {"Cookie": cookie}
        token = self.call("GET", "/auth/csrf-token").body["csrf_token"]
        self.headers["X-CSRFToken"] = token
        return cookie.partition("=")[2]


def start(make_run: Make, folder: Path, more: str = "", **options: Any) -> tuple[Run, HttpClient]:
    line = ["instruments", "sync", "--simulated", "--file", str(folder / "list.sqlite")]
    assert main.run([*line, "--rows", "9000"]) == 0
    run = make_run(pool=POOL, connections=90, more=API + MORE + more, **options)
    return run.start_and_wait(), HttpClient(run)


def address_of(run: Run, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what `screen` prints."""
    line = ["screen", run.paths.name, "--shm-directory", str(run.paths.root), *words]
    assert main.run(line) == 0
    return str(capsys.readouterr().out.splitlines()[-1])


def quote(http: HttpClient, key: str, name: dict[str, str]) -> Reply:
    body = {"apikey": key, **name}
    return call(http.port, "POST", "/api/v1/quotes", token=None, body=body)


def gateway_serves(run: Run) -> bool:
    kind = SegmentKind.GATEWAY_STATUS
    page = StatusPage(Segment.attach(run.paths.segment(kind), kind))
    return int(page.head["state"]) == State.LIVE


def test_prices_keys_and_pages(
    make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, http = start(make_run, tmp_path)
    key = KeyStore(tmp_path / "keys.sqlite").add("sdk", "exchange")
    # What nobody streams comes all the same, in full; so does what is asked for again.
    reply = wait_for(lambda: (r := quote(http, key, INFY)).status == 200 and r, "a first tick")
    assert set(reply.body["data"]) == {
        "open", "high", "low", "ltp", "ask", "bid", "prev_close", "volume", "oi",
    }  # fmt: skip
    assert reply.body["data"]["bid"] > 0 and type(reply.body["data"]["volume"]) is int
    wait_for(lambda: quote(http, key, NIFTY).status == 200, "an index's first tick")
    token = load(tmp_path / "list.sqlite").token("NSE:INFY")
    rows = http.get("/subscriptions?client=quotes")
    assert token in [row["instrument_token"] for row in rows]

    wait_for(lambda: gateway_serves(run), "the gateway to serve")
    address = address_of(run, capsys)
    page = Browser(http)
    cookie = page.enter(address)
    config = page.call("GET", "/api/websocket/config").body
    assert config["websocket_url"].startswith("ws://127.0.0.1:") and not config["is_secure"]
    own = page.call("GET", "/api/websocket/apikey").body["api_key"]
    body = {"apikey": own, "symbols": [INFY, NIFTY]}
    found = page.call("POST", "/api/v1/multiquotes", body).body
    assert [row["data"]["ltp"] > 0 for row in found["results"]] == [True, True]
    health = page.call("GET", "/api/websocket/health").body
    assert health["connected"] and health["authenticated"]

    # The session outlives the control process; its page gets another key.
    killed = run.kill("control 0")
    wait_for(lambda: run.pid("control 0") not in (None, 0, killed), "its successor")
    wait_for(lambda: page.call("GET", "/auth/session").status == 200, "the session to go on")
    other = page.call("GET", "/api/websocket/apikey").body["api_key"]
    assert other != own and quote(http, own, INFY).status == 403
    wait_for(lambda: quote(http, other, INFY).status == 200, "prices again")

    form = "NFO:NIFTY@weekly:atm+-1"
    window = {"client": "w", "instruments": [form], "mode": "quote", "follow": True}
    assert http.call("POST", "/subscriptions", window).status == 200
    (row,) = http.get("/windows?client=w")
    assert row["form"] == form and len(row["instruments"]) == 6
    assert run.stop() == 0
    log = run.log.read_text()  # at debug level
    assert "HTTP API" in log and "#ticket" not in log
    keys = [text.partition(".")[2] for text in (key, own, other)]
    for secret in (*keys, cookie, http.token, address.partition("#ticket=")[2].strip()):
        assert len(secret) > 20 and secret not in log
    run.assert_nothing_left()


def test_a_key_has_its_owners_prices_alone(
    make_run: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, http = start(make_run, tmp_path, OTHERS + TWO_DECODERS, account=ALICE)
    store = KeyStore(tmp_path / "keys.sqlite", {"exchange": "alice", "bobs": "bob"})
    alice, bob = store.add("a", "exchange"), store.add("b", "bobs")
    token = load(tmp_path / "list.sqlite").token("NSE:INFY")

    def carriers() -> list[str]:
        found = http.get("/pool/distribution")
        return sorted(a for a, of in found.items() for held in of.values() if token in held)

    wait_for(lambda: quote(http, alice, INFY).status == 200, "alice's first tick")
    assert carriers() == ["exchange"]
    page = Browser(http)
    page.enter(address_of(run, capsys, "--account", "bobs"))
    seen = "/api/websocket/market-data?symbol=INFY&exchange=NSE"
    assert page.call("GET", seen).status == 404  # it ticks, but not for him
    own = store.verify(page.call("GET", "/api/websocket/apikey").body["api_key"])
    assert own is not None and (own.account, own.owner) == ("bobs", "bob")
    assert page.call("GET", "/api/websocket/subscriptions").body["subscriptions"] == []

    wait_for(lambda: quote(http, bob, INFY).status == 200, "bob's first tick")
    assert carriers() == ["bobs", "exchange"]
    assert page.call("GET", seen).status == 200
    rows = http.get("/subscriptions?client=quotes")
    assert sorted(row["owner"] for row in rows) == ["alice", "bob"]
    wanted = {"symbols": [NIFTY], "mode": "LTP"}
    assert page.call("POST", "/api/websocket/subscribe", wanted).body["status"] == "success"
    (row,) = http.get("/subscriptions?client=websocket-api")
    assert row["owner"] == "bob"
    assert run.stop() == 0
    run.assert_nothing_left()
