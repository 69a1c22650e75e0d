"""`/api/v1`: shapes and types that clients parse, wrong keys, and what is not there."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from pipeline.services.control.api.openalgo.v1 import WRONG_KEY
from tests.services.control.api.openalgo.house import House

INFY = {"symbol": "INFY", "exchange": "NSE"}
QUOTE = {
    "open": 1390.0, "high": 1410.0, "low": 1385.05, "ltp": 1400.55, "ask": 1401.0, "bid": 1400.5,
    "prev_close": 1395.0, "volume": 123_457, "oi": 11,
}  # fmt: skip


def side(*levels: tuple[float, int]) -> list[dict[str, float | int]]:
    """Return five levels of a book; those that are not given are empty."""
    padded = [*levels, *[(0.0, 0)] * (5 - len(levels))]
    return [{"price": price, "quantity": quantity} for price, quantity in padded]


NAMES = (
    "quotes", "multiquotes", "depth", "symbol", "search", "expiry", "instruments", "intervals",
    "ping", "history",
)  # fmt: skip
MORE = {
    **INFY, "symbols": [INFY], "query": "INFY", "instrumenttype": "options", "interval": "D",
    "start_date": "2025-01-01", "end_date": "2025-01-02",
}  # fmt: skip


def golden(found: Any, expected: Any) -> None:
    """Compare as JSON text, where 1 and 1.0 differ, as they do for typed clients."""
    assert json.dumps(found) == json.dumps(expected)


def test_ping_is_the_connection_test(house: House) -> None:
    reply = house.ask("ping")
    golden(reply.body, {"status": "success", "data": {"message": "pong", "broker": "zerodha"}})
    assert reply.status == 200 and reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["wrong", "0" * 64, "é", "x.y", "0123456789ab." + "0" * 64])
def test_a_wrong_key_is_403_everywhere(house: House, name: str, key: str) -> None:
    reply = house.ask(name, key=key, **MORE)
    assert reply.status == 403
    golden(reply.body, {"status": "error", "message": WRONG_KEY})


@pytest.mark.parametrize("name", NAMES)
def test_the_token_of_the_instance_is_no_key(house: House, name: str) -> None:
    assert house.post(f"/api/v1/{name}", {"apikey": house.token, **MORE}).status == 403
    assert house.post(f"/api/v1/{name}", MORE).status == 400


def test_keys_end_when_they_are_revoked_or_old(house: House) -> None:
    key = house.store.add("short", "a", expires_s=3600)
    assert house.ask("ping", key=key).status == 200
    assert house.store.revoke(key.partition(".")[0])
    assert house.ask("ping", key=key).status == 403
    assert house.ask("ping", key=house.store.add("old", "a", expires_s=-1)).status == 403


def test_a_key_of_an_account_that_is_not_here_is_wrong(house: House) -> None:
    assert house.ask("ping", key=house.store.add("other", "nobody")).status == 403


def test_quotes(house: House) -> None:
    golden(house.ask("quotes", **INFY).body, {"status": "success", "data": QUOTE})


def test_an_index_has_every_field_too(house: House) -> None:
    found = house.ask("quotes", symbol="NIFTY", exchange="NSE_INDEX").body["data"]
    expected = {**QUOTE, "ltp": 24010.05, "ask": 0.0, "bid": 0.0, "volume": 0, "oi": 0}
    golden(found, expected)


def test_what_a_packet_does_not_carry_is_left_out(house: House) -> None:
    found = house.ask("quotes", symbol="RELIANCE", exchange="NSE")
    golden(found.body["data"], {"ltp": 0.05})
    depth = house.ask("depth", symbol="RELIANCE", exchange="NSE")
    assert depth.status == 404 and "No depth of NSE:RELIANCE" in depth.body["message"]


def test_multiquotes_answers_for_each_in_its_order(house: House) -> None:
    asked = [
        {"symbol": "M&M", "exchange": "NSE"}, INFY, {"symbol": "NOBODY", "exchange": "NSE"},
        {"symbol": "infy", "exchange": "NSE"}, INFY,
    ]  # fmt: skip
    reply = house.ask("multiquotes", symbols=asked)
    assert reply.status == 200 and list(reply.body) == ["status", "results"]
    results = reply.body["results"]
    assert [{k: row[k] for k in ("symbol", "exchange")} for row in results] == asked
    golden(results[1], {**INFY, "data": QUOTE})
    golden(results[4], {**INFY, "data": QUOTE})
    assert [row["data"] for row in (results[0], *results[2:4])] == [{}, {}, {}]
    assert "No tick of NSE:M&M" in results[0]["error"]
    assert results[2]["error"] == "NSE:NOBODY is not in the list of symbols"


def test_depth_has_five_levels_a_side(house: House) -> None:
    expected = {
        "open": 1390.0, "high": 1410.0, "low": 1385.05, "ltp": 1400.55, "ltq": 5,
        "prev_close": 1395.0, "volume": 123_457, "oi": 11, "totalbuyqty": 2**33, "totalsellqty": 9,
        "asks": side((1401.0, 30), (1401.5, 40)), "bids": side((1400.5, 10), (1400.0, 20)),
    }  # fmt: skip
    golden(house.ask("depth", **INFY).body, {"status": "success", "data": expected})


def test_symbol_is_a_row_of_the_table(house: House) -> None:
    found = house.ask("symbol", symbol="NIFTY28NOV2424000CE", exchange="NFO").body["data"]
    token = found.pop("id")
    expected = {
        "symbol": "NIFTY28NOV2424000CE", "brsymbol": "NIFTY24NOV24000CE", "name": "NIFTY",
        "exchange": "NFO", "brexchange": "NFO", "token": f"{token}::::{token >> 8}",
        "expiry": "28-NOV-24", "strike": 24000.0, "lotsize": 25, "instrumenttype": "CE",
        "tick_size": 0.05, "contract_value": 1.0,
    }  # fmt: skip
    golden(found, expected)
    index = house.ask("symbol", symbol="NIFTY", exchange="NSE_INDEX").body["data"]
    assert (index["brsymbol"], index["brexchange"], index["expiry"]) == ("NIFTY 50", "NSE", "")
    for wrong in ("nifty", "#1594", "NOBODY", "../x", "NIFTY\n"):
        assert house.ask("symbol", symbol=wrong, exchange="NSE_INDEX").status == 404


def test_search_finds_words_in_names(house: House) -> None:
    reply = house.ask("search", query="NIFTY 24000 28NOV", exchange="NFO")
    assert reply.body["message"] == "Found 2 matching symbols"
    assert {row["instrumenttype"] for row in reply.body["data"]} == {"CE", "PE"}
    assert all(type(row["freeze_qty"]) is int for row in reply.body["data"])
    nothing = house.ask("search", query="NOTHING OF THE KIND")
    assert nothing.status == 200 and nothing.body["data"] == []
    everywhere = house.ask("search", query="INFY").body["data"]
    assert {row["exchange"] for row in everywhere} == {"NSE", "BSE", "NFO"}


def test_expiry_names_the_days(house: House) -> None:
    asked = {"symbol": "NIFTY", "exchange": "NFO"}
    options = house.ask("expiry", instrumenttype="options", **asked).body
    assert options["data"] == ["21-NOV-24", "28-NOV-24", "05-DEC-24", "26-DEC-24"]
    assert options["message"] == "Found 4 expiry dates for NIFTY options in NFO"
    futures = house.ask("expiry", instrumenttype="futures", **asked).body
    assert futures["data"] == ["28-NOV-24", "26-DEC-24"]
    assert house.ask("expiry", symbol="X", exchange="NFO", instrumenttype="options").status == 404


def test_intervals_and_the_history_that_is_not_there(house: House) -> None:
    found = house.ask("intervals").body["data"]
    assert list(found) == ["months", "weeks", "days", "hours", "minutes", "seconds"]
    assert found["days"] == ["D"] and "1m" in found["minutes"]
    reply = house.ask("history", **MORE)
    assert reply.status == 404 and reply.body["status"] == "error"
    assert "no recorder" in reply.body["message"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("quotes", {}), ("quotes", {"symbol": "INFY"}), ("quotes", {**INFY, "exchange": "nse"}),
        ("quotes", {**INFY, "symbol": "x" * 65}), ("quotes", {**INFY, "symbol": 1}),
        ("quotes", {**INFY, "symbol": ""}), ("quotes", {**INFY, "exchange": "../.."}),
        ("multiquotes", {"symbols": []}), ("multiquotes", {"symbols": ["NSE:INFY"]}),
        ("multiquotes", {"symbols": [INFY] * 5001}), ("multiquotes", {"symbols": INFY}),
        ("search", {"query": ""}), ("search", {"query": "x" * 101}),
        ("expiry", {**INFY, "instrumenttype": "swaps"}),
        ("history", {**MORE, "start_date": "yesterday"}),
        ("ping", {"apikey": 1}), ("ping", {"apikey": ""}), ("ping", {"apikey": "x" * 257}),
    ],
)  # fmt: skip
def test_nonsense_is_400_in_the_shape_that_clients_know(
    house: House, name: str, body: dict[str, Any]
) -> None:
    reply = house.post(f"/api/v1/{name}", {"apikey": house.key, **body}, token=None)
    assert reply.status == 400, reply
    assert reply.body["status"] == "error" and isinstance(reply.body["message"], str)
    assert house.key not in json.dumps(reply.body)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b"null", b"1"])
def test_what_is_no_json_is_400(house: House, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    reply = house.call("POST", "/api/v1/quotes", token=None, raw=raw, headers=headers)
    assert reply.status == 400 and reply.body["status"] == "error"


def test_other_methods_and_names_are_not_there(house: House) -> None:
    assert house.get("/api/v1/quotes", token=None).status == 405
    assert house.post("/api/v1/placeorder", {"apikey": house.key}, token=None).status == 404


def test_clients_send_more_than_is_needed(house: House) -> None:
    assert house.ask("quotes", **INFY, strategy="x", depth=5).status == 200


def test_what_nobody_streams_is_wanted_for_a_while(house: House) -> None:
    assert house.ask("quotes", symbol="SENSEX", exchange="BSE_INDEX").status == 404
    rows = house.get("/subscriptions?client=quotes").body
    assert [row["instrument_token"] for row in rows if row["mode"] == "full"].count(265) == 1
    assert house.subscribe([265], client="quotes").status == 409  # nobody speaks for it


def test_what_has_no_room_says_so(house: House) -> None:
    wanted = house.ask("search", query="NIFTY 28NOV", exchange="NFO").body["data"][:60]
    asked = [{k: row[k] for k in ("symbol", "exchange")} for row in wanted]
    results = house.ask("multiquotes", symbols=asked).body["results"]
    assert sum("cannot be" in row["error"] for row in results) >= 30
    refused = [row for row in results if "cannot be" in row["error"]]
    # What other tests asked for is let go meanwhile, so that some of these have a place by now.
    replies = (house.ask("quotes", symbol=r["symbol"], exchange=r["exchange"]) for r in refused)
    reply = next(reply for reply in replies if reply.status == 409)
    assert reply.body["status"] == "error"


def test_the_list_of_an_exchange_is_all_of_its_rows(house: House) -> None:
    reply = house.ask("instruments", exchange="NSE_INDEX")
    assert reply.status == 200 and reply.headers["content-type"] == "application/json"
    rows = reply.body["data"]
    assert reply.body["status"] == "success" and len(rows) > 1
    assert reply.body["message"] == f"Found {len(rows)} instruments"
    assert {row["exchange"] for row in rows} == {"NSE_INDEX"}
    nifty = house.ask("symbol", symbol="NIFTY", exchange="NSE_INDEX").body["data"]
    golden([row for row in rows if row["symbol"] == "NIFTY"], [nifty])
    everything = house.ask("instruments").body["data"]
    assert len(everything) > len(rows) and nifty in everything
    assert house.ask("instruments", exchange="CRYPTO").body["data"] == []


def test_the_list_is_asked_for_as_openalgos_client_does(house: House) -> None:
    asked = house.ask("instruments", exchange="NSE").body
    path = f"/api/v1/instruments?apikey={house.key}&exchange=NSE"
    reply = house.get(path, token=None)
    assert reply.status == 200 and reply.body == asked
    assert house.get("/api/v1/instruments?apikey=wrong", token=None).status == 403
    assert house.get("/api/v1/instruments", token=None).status == 400
    assert house.get(f"{path}&format=xml", token=None).status == 400


def test_the_list_as_csv(house: House) -> None:
    asked = house.ask("instruments", exchange="NSE").body["data"]
    reply = house.ask("instruments", exchange="NSE", format="csv")
    assert reply.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(reply.body)))
    assert [row["symbol"] for row in rows] == [row["symbol"] for row in asked]
    assert list(rows[0]) == list(asked[0])
