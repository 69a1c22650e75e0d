"""Every path: what it answers, and which codes it refuses with."""

from __future__ import annotations

import json
import socket
import stat
from typing import Any

import pytest

from pipeline.services.control.api.guard import BODY_BYTES_MAX
from pipeline.services.control.api.token import token_path
from tests.services.control.api.served import Served

STATS = "/advanced/websocket-pool/stats"
PATHS = [
    ("GET", STATS), ("GET", f"{STATS}/a"), ("GET", "/advanced/rate-limit/stats"),
    ("GET", "/advanced/rate-limit/config"), ("GET", "/alerts"), ("GET", "/metrics"),
    ("GET", "/events"), ("GET", "/clients"), ("GET", "/subscriptions"), ("GET", "/windows"),
    ("GET", "/pool/distribution"), ("POST", "/subscriptions"), ("DELETE", "/subscriptions"),
    ("PUT", "/subscriptions/mode"), ("POST", "/pool/plan"), ("POST", "/pool/rebalance"),
    ("POST", "/pool/scale"), ("POST", "/pool/recycle"), ("POST", "/pool/drain"),
    ("PUT", "/accounts/a/token"), ("DELETE", "/auth/session"),
    ("GET", "/auth/csrf-token"), ("GET", "/no/such/path"),
]  # fmt: skip


def _head(served: Served, what: str, more: str) -> bytes:
    """Return a request's first lines, as they go on the wire."""
    lines = [f"{what} HTTP/1.1", "Host: x", f"Authorization: Bearer {served.token}", more, "", ""]
    return "\r\n".join(lines).encode()


def taken_back(served: Served, client: str) -> None:
    """Take everything back that a client wants, so that the next test finds room."""
    rows = served.get(f"/subscriptions?limit=5000&client={client}").body
    if rows:
        tokens = [row["instrument_token"] for row in rows]
        body = {"client": client, "instruments": tokens}
        assert served.call("DELETE", "/subscriptions", body=body).status == 200


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("token", [None, "wrong", ""])
def test_nothing_is_told_without_the_token(
    served: Served, method: str, path: str, token: str | None
) -> None:
    headers = {"Authorization": "Bearer "} if token == "" else {}
    reply = served.call(method, path, token=token or None, headers=headers)
    if token:
        reply = served.call(method, path, token=token)
    assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer"
    assert "detail" in reply.body


def test_the_token_is_for_this_user_alone(served: Served) -> None:
    path = token_path(served.ground.paths)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(served.token) >= 40


def test_anybody_may_know_whether_it_is_well_and_no_more(served: Served) -> None:
    reply = served.get("/health", token=None)
    assert set(reply.body) == {"status"}
    assert {"score", "is_healthy", "alerts", "connections"} <= set(served.get("/health").body)


def test_what_is_not_there_and_what_is_not_done(served: Served) -> None:
    assert served.get("/no/such/path").status == 404
    assert served.post(STATS).status == 405
    reply = served.get(f"{STATS}/nobody")
    assert reply.status == 404 and "not found" in reply.body["detail"]


def test_an_account_without_connections_is_known_and_has_no_pool(served: Served) -> None:
    taken_back(served, "t")
    document = served.get(STATS).body
    assert document["total_accounts"] == 0
    assert document["accounts"]["a"]["total_connections"] == 0
    reply = served.get(f"{STATS}/a")
    assert reply.status == 404 and "no active WebSocket pool" in reply.body["detail"]


def test_demand_is_taken_shown_changed_and_taken_back(served: Served) -> None:
    reply = served.subscribe([408065, 265], mode="ltp")
    assert reply.status == 200
    assert (reply.body["requested"], reply.body["accepted"]) == (2, 2)
    rows = served.get("/subscriptions?client=t").body
    assert [(row["instrument_token"], row["mode"]) for row in rows] == [
        (265, "ltp"), (408065, "ltp"),
    ]  # fmt: skip
    page = served.get("/subscriptions?client=t&limit=1&after=265").body
    assert [row["instrument_token"] for row in page] == [408065]
    body = {"client": "t", "instruments": [265], "mode": "full"}
    assert served.call("PUT", "/subscriptions/mode", body=body).body["accepted"] == 1
    assert served.get("/subscriptions?client=t&limit=1").body[0]["mode"] == "full"
    clients = {row["name"]: row for row in served.get("/clients").body}
    assert clients["t"]["durable"] and clients["t"]["instruments"] == 2
    account = served.get(f"{STATS}/a").body
    assert account["total_target_tokens"] == account["total_subscribed_tokens"] == 2
    taken_back(served, "t")
    assert "t" not in {row["name"] for row in served.get("/clients").body}


def test_what_has_no_room_changes_nothing(served: Served) -> None:
    taken_back(served, "t")
    reply = served.subscribe(range(1, 32))
    assert reply.status == 409
    expected = {"requested": 31, "accepted": 0, "available": 30, "code": "capacity"}
    assert expected.items() <= reply.body.items()
    assert served.get("/subscriptions?client=t").body == []
    assert "t" not in {row["name"] for row in served.get("/clients").body}
    reply = served.subscribe(range(1, 32), partial=True)
    assert reply.status == 200 and reply.body["refused_count"] == 1
    taken_back(served, "t")


def test_a_plan_is_only_a_plan(served: Served) -> None:
    body = {"client": "t", "instruments": list(range(1, 13)), "mode": "quote"}
    reply = served.post("/pool/plan", body)
    assert reply.status == 200 and "plan" in reply.body
    assert served.get("/subscriptions?client=t").body == []


def test_the_distribution_names_every_instrument_once(served: Served) -> None:
    served.subscribe([1, 2, 3])
    found = served.get("/pool/distribution").body
    assert sorted(token for row in found["a"].values() for token in row) == [1, 2, 3]
    taken_back(served, "t")


@pytest.mark.parametrize(
    ("method", "path", "body", "counts"),
    [
        ("POST", "/pool/scale", {"connections": 1000}, (1000, 3)),
        ("POST", "/subscriptions", {"client": "config", "instruments": [1, 2]}, (2, 0)),
        ("PUT", "/subscriptions/mode", {"client": "config", "instruments": [1]}, (1, 0)),
        ("DELETE", "/subscriptions", {"client": "config", "instruments": [1]}, (1, 0)),
        ("POST", "/pool/plan", {"client": "config", "instruments": [1]}, (1, 0)),
        ("PUT", "/accounts/a/token", {"access_token": "abcdef"}, (1, 0)),
    ],
)
def test_what_cannot_be_done_is_counted_and_changes_nothing(
    served: Served, method: str, path: str, body: Any, counts: tuple[int, int]
) -> None:
    before = served.get("/advanced/websocket-pool/stats").body["pool"]
    reply = served.call(method, path, body=body)
    assert reply.status == 409
    assert (reply.body["requested"], reply.body["available"]) == counts
    assert reply.body["accepted"] == 0 and reply.body["detail"]
    after = served.get("/advanced/websocket-pool/stats").body["pool"]
    names = ("desired", "assigned", "clients", "connections_asked")
    assert [after[name] for name in names] == [before[name] for name in names]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pool/drain", {"connection": 77}),
        ("/pool/recycle", {"connection": 77}),
        ("/pool/recycle", {"account": "nobody"}),
        ("/subscriptions", {"client": "c", "instruments": [1], "account": "nobody"}),
        ("/subscriptions", {"client": "c", "instruments": [1], "connection": 77}),
        ("/pool/plan", {"instruments": [1], "account": "nobody"}),
    ],
)
def test_what_is_not_there_is_not_found(served: Served, path: str, body: Any) -> None:
    before = served.get("/advanced/websocket-pool/stats").body["pool"]["desired"]
    reply = served.post(path, body)
    assert (reply.status, reply.body["code"]) == (404, "not_found")
    assert "77" in reply.body["detail"] or "known: a" in reply.body["detail"]
    assert served.get("/advanced/websocket-pool/stats").body["pool"]["desired"] == before


@pytest.mark.parametrize("client", ["config", "live"])
def test_nobody_speaks_for_another_client(served: Served, client: str) -> None:
    with served.ground_client("live"):
        reply = served.subscribe([1], client=client)
        assert reply.status == 409 and "another name" in reply.body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/subscriptions", {}),
        ("POST", "/subscriptions", {"instruments": []}),
        ("POST", "/subscriptions", {"instruments": [0]}),
        ("POST", "/subscriptions", {"instruments": [-1]}),
        ("POST", "/subscriptions", {"instruments": [2**32]}),
        ("POST", "/subscriptions", {"instruments": [1.5]}),
        ("POST", "/subscriptions", {"instruments": [True]}),
        ("POST", "/subscriptions", {"instruments": [float("nan")]}),
        ("POST", "/subscriptions", {"instruments": ["NSE:NOBODY"]}),
        ("POST", "/subscriptions", {"instruments": [1], "mode": "FULL"}),
        ("POST", "/subscriptions", {"instruments": [1], "priority": "now"}),
        ("POST", "/subscriptions", {"instruments": [1], "client": "no blanks"}),
        ("POST", "/subscriptions", {"instruments": [1], "extra": 1}),
        ("POST", "/subscriptions", [1, 2]),
        ("POST", "/subscriptions", "1"),
        ("POST", "/pool/scale", {"connections": -1}),
        ("POST", "/pool/scale", {"connections": 10**30}),
        ("PUT", "/accounts/a/token", {"access_token": "two words"}),
        ("PUT", "/accounts/a/token", {"access_token": ""}),
        ("PUT", "/accounts/a/token", {"access_token": "x" * 5000}),
        ("GET", "/subscriptions?limit=0", None),
        ("GET", "/subscriptions?after=x", None),
    ],
)
def test_nonsense_is_422_and_is_not_repeated(
    served: Served, method: str, path: str, body: Any
) -> None:
    reply = served.call(method, path, body=body)
    assert reply.status == 422, reply
    assert isinstance(reply.body["detail"], str) and "two words" not in reply.body["detail"]


@pytest.mark.parametrize(
    "raw",
    [b"{", b"\xff\xfe", b"[" * 100_000, b'{"instruments": [1' + b"0" * 5000 + b"]}", b"null"],
)
def test_bodies_that_are_no_json_are_refused(served: Served, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert served.call("POST", "/subscriptions", raw=raw, headers=headers).status in (400, 422)


def test_a_body_that_is_too_long_is_not_read(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as sock:
        sock.sendall(_head(served, "POST /subscriptions", f"Content-Length: {BODY_BYTES_MAX + 1}"))
        assert b" 413 " in sock.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("hostile", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"G" * 100_000])
def test_what_is_no_http_hurts_nobody(served: Served, hostile: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as sock:
        try:
            sock.sendall(hostile)
            sock.recv(4096)
        except ConnectionError:
            pass  # cut off: as good
    assert served.get("/health", token=None).status == 200


def test_a_token_is_not_swapped_where_there_is_no_file(served: Served) -> None:
    path = "/accounts/{}/token"
    body = {"access_token": "abcdef123456"}
    assert served.call("PUT", path.format("a"), body=body).status == 409
    assert served.call("PUT", path.format("nobody"), body=body).status == 404


def test_rate_limits_are_told(served: Served) -> None:
    found = served.get("/advanced/rate-limit/stats").body
    names = {"total_requests", "total_wait_time_seconds", "rate_limited_count", "endpoints"}
    assert names <= set(found)
    limits = served.get("/advanced/rate-limit/config").body["limits"]
    assert limits["order_place"] == {
        "requests_per_second": 10, "requests_per_minute": 400, "requests_per_day": 5000,
    }  # fmt: skip


def test_there_is_a_document_of_it(served: Served) -> None:
    found = served.get("/openapi.json", token=None).body
    methods = {(m.upper(), p) for p, row in found["paths"].items() for m in row}
    assert {("GET", "/health"), ("PUT", "/accounts/{account_id}/token")} <= methods
    others = {one for one in methods if one[1].startswith(("/api/", "/screen/"))}
    # All but the one that is not there; and /health, and the way in.
    assert len(methods - others) == len(PATHS) - 1 + 3
    assert len(others) == 11 + 8 + 3 + 2  # OpenAlgo's, and the screen's
    assert "HTTPBearer" in json.dumps(found["components"]["securitySchemes"])


def test_it_ends_in_good_order_with_callers_connected(tmp_path: Any) -> None:
    served = Served(tmp_path)
    try:
        served.ready()
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as sock:
            sock.sendall(_head(served, "GET /events", "Accept: text/event-stream"))
            assert b" 200 " in sock.recv(4096)
            assert served.stop() == 0
    finally:
        served.close()
