"""The HTTP API of a whole run, with the simulated exchange behind it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from pipeline.core.instruments import simulated_tokens
from pipeline.services.control.api.token import token_path
from tests.services.control.api.served import call
from tests.system.http_client import API, HttpClient
from tests.system.judge import control_of
from tests.system.pool_client import PoolClient
from tests.system.rig import Run, wait_for
from tests.system.test_pool import complete

Make = Callable[..., Run]

#: The example of the statistics that such pools are known to give, for 2,500 instruments.
EXAMPLE = {
    "account_id": "exchange",
    "total_connections": 3,
    "total_target_tokens": 2500,
    "total_subscribed_tokens": 2500,
    "max_instruments_per_connection": 1000,
    "total_capacity": 3000,
    "connections": [
        {
            "connection_id": number,
            "connected": True,
            "subscribed_tokens": count,
            "capacity": 1000,
            "available_capacity": 1000 - count,
            "utilization_percent": percent,
        }
        for number, count, percent in ((0, 1000, 100.0), (1, 1000, 100.0), (2, 500, 50.0))
    ],
    "statistics": {
        "total_connections_created": 3,
        "total_subscriptions": 2500,
        "total_unsubscriptions": 0,
    },
}
NOTE = "Each connection can handle up to max_instruments_per_connection instruments (default: 1000)"


def _like(found: Any, example: Any) -> Any:
    """Return of what was found the part that the example has."""
    if isinstance(example, dict):
        return {key: _like(found[key], value) for key, value in example.items()}
    if isinstance(example, list):
        assert len(found) == len(example)
        return [_like(*pair) for pair in zip(found, example, strict=True)]
    return found


def _serve(make_run: Make, pool: str, more: str = "", **options: Any) -> tuple[Run, HttpClient]:
    run = make_run(pool=pool, more=API + more, **options).start_and_wait()
    return run, HttpClient(run)


def test_r11_the_known_example_of_2500_instruments_field_by_field(make_run: Make) -> None:
    """All accounts and one account, from a pool that lives (R11: one was empty, the other 404)."""
    pool = 'instruments_per_connection = 1000\npolicy = "first_fit"\nheadroom = 0.0'
    run, http = _serve(make_run, pool, connections=1, count=2500)
    assert http.stats()["total_accounts"] == 0
    assert http.call("GET", "/advanced/websocket-pool/stats/exchange").status == 404
    assert http.call("GET", "/advanced/websocket-pool/stats/nobody").status == 404
    reply = http.subscribe(simulated_tokens(0, 2500))
    assert reply.status == 200 and reply.body["accepted"] == 2500
    complete(run, 2500)
    wait_for(
        lambda: http.stats("exchange")["confirmed_tokens"] == 2500, "the document to show it all"
    )
    document = http.stats()
    assert document["total_accounts"] == 1 and document["note"] == NOTE
    assert set(document["accounts"]) == {"exchange"}
    assert _like(document["accounts"]["exchange"], EXAMPLE) == EXAMPLE
    assert _like(http.stats("exchange"), EXAMPLE) == EXAMPLE
    _over_capacity_changes_nothing(http)
    assert run.stop() == 0
    run.assert_nothing_left()


def test_three_underlyings_over_two_keys(make_run: Make) -> None:
    """1,200, 1,200 and 800 instruments, packed into connections of 1,000, two for each key."""
    second = '[[account]]\nname = "second"\nurl = "simulator"\napi_key = "demo2"\n'
    pool = (
        'instruments_per_connection = 1000\nconnections_per_key = 2\npolicy = "first_fit"\n'
        'headroom = 0.0\nhomes_file = "homes.sqlite"'
    )
    run, http = _serve(make_run, pool, second, connections=1, count=3200)
    tokens = simulated_tokens(0, 3200)
    parts = {"nifty": tokens[:1200], "banknifty": tokens[1200:2400], "finnifty": tokens[2400:]}
    for name, wanted in parts.items():
        reply = http.subscribe(wanted, client=name)
        assert (reply.status, reply.body["accepted"]) == (200, len(wanted))
    complete(run, 3200)
    places = {
        token: (account, number)
        for account, connections in http.get("/pool/distribution").items()
        for number, found in connections.items()
        for token in found
    }
    assert Counter(places.values()) == {
        ("exchange", "0"): 1000, ("exchange", "1"): 1000,
        ("second", "2"): 1000, ("second", "3"): 200,
    }  # fmt: skip
    spread = {name: list(Counter(map(places.get, part)).values()) for name, part in parts.items()}
    assert spread == {"nifty": [1000, 200], "banknifty": [800, 400], "finnifty": [600, 200]}
    with control_of(run) as control:
        clients = [one for one in control.command("stat")["clients"] if one["open"]]
    assert sorted((one["key"], one["subscribed"]) for one in clients) == [
        ("demo", 1000), ("demo", 1000), ("demo2", 200), ("demo2", 1000),
    ]  # fmt: skip
    found = http.stats()
    assert found["total_accounts"] == 2
    assert [a["total_capacity"] for a in found["accounts"].values()] == [2000, 2000]
    assert [a["total_subscribed_tokens"] for a in found["accounts"].values()] == [2000, 1200]
    reply = http.subscribe(range(10**6, 10**6 + 801), client="more")
    assert reply.status == 409
    assert (reply.body["requested"], reply.body["accepted"], reply.body["available"]) == (
        801,
        0,
        800,
    )
    assert run.stop() == 0
    run.assert_nothing_left()


def test_what_scale_asked_for_outlives_the_control_process(make_run: Make) -> None:
    run, http = _serve(make_run, "instruments_per_connection = 100\nshrink_after_s = 0.5")
    http.subscribe(simulated_tokens(0, 50))
    complete(run, 50)
    assert http.call("POST", "/pool/scale", {"connections": 2}).status == 200
    wait_for(lambda: len(run.numbers) == 2, "another connection")
    refused = http.call("POST", "/pool/scale", {"connections": 4})
    assert refused.status == 409
    assert [refused.body[name] for name in ("requested", "accepted", "available")] == [4, 0, 3]
    pid = run.kill("control 0")
    wait_for(lambda: run.pid("control 0") not in (0, pid), "its successor")
    wait_for(lambda: _status(http, "/health") == 200, "it to serve")
    assert http.stats()["pool"]["connections_asked"] == 2
    assert len(run.numbers) == 2
    assert http.call("POST", "/pool/scale", {"connections": "auto"}).status == 200
    wait_for(lambda: len(run.numbers) == 1, "as many as are needed")
    assert http.stats()["pool"]["connections_asked"] == 0
    complete(run, 50)
    assert run.stop() == 0
    run.assert_nothing_left()


def _over_capacity_changes_nothing(http: HttpClient) -> None:
    reply = http.subscribe(range(10**6, 10**6 + 501), client="more")
    assert reply.status == 409
    assert (reply.body["requested"], reply.body["available"]) == (501, 500)
    assert http.stats("exchange")["total_target_tokens"] == 2500


def test_metrics_are_the_statistics_and_both_doors_lead_to_the_same(make_run: Make) -> None:
    pool = "instruments_per_connection = 100\nheadroom = 0.0"
    run, http = _serve(make_run, pool)
    tokens = simulated_tokens(0, 150)
    with PoolClient(run, "t") as client:
        client.subscribe(tokens[:100])
        assert http.subscribe(tokens[50:]).body["already"] == 50
        complete(run, 150)
        rows = http.get("/subscriptions?client=t&limit=5000")
        assert sorted(row["instrument_token"] for row in rows) == sorted(tokens[:100])
        wait_for(lambda: http.stats("exchange")["wire_tokens"] == 150, "the pages to show it")
        figures = _figures(http.get("/metrics"))
        account = http.stats("exchange")
        label = '{account_id="exchange"}'
        assert figures[f"websocket_pool_connections{label}"] == account["total_connections"] == 2
        for name, field in (
            ("subscribed_tokens", "total_subscribed_tokens"), ("target_tokens",) * 2,
        ):  # fmt: skip
            expected = account[field if field.startswith("total") else f"total_{field}"]
            assert figures[f"websocket_pool_{name}{label}"] == expected == 150
        assert figures[f"websocket_pool_capacity_utilization_percent{label}"] == 75.0
        subscriptions = account["statistics"]["total_subscriptions"]
        assert figures[f"websocket_pool_subscriptions_total{label}"] == subscriptions == 150
        for row in account["connections"]:
            labels = f'{{account_id="exchange",connection_id="{row["connection_id"]}"}}'
            assert figures[f"websocket_pool_connected_status{labels}"] == 1
        assert run.stop() == 0
    run.assert_nothing_left()


def _figures(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_r7_a_hung_feed_is_seen_told_and_past(make_run: Make) -> None:
    """The pages tell of it, not the process; the summary is healthy again afterwards."""
    pool = "instruments_per_connection = 100\nheadroom = 0.0\nredistribute_after_s = 3600"
    more = "[supervisor]\nhang_timeout_s = 30\n[feed]\nbackoff_min_s = 0.1\nbackoff_max_s = 0.3\n"
    run, http = _serve(make_run, pool, more)
    http.subscribe(simulated_tokens(0, 200))
    complete(run, 200)
    with _listen(http) as listener:
        _hang_and_replace(run, http)
        told = _until(listener, b"event: gap")
    assert b"event: alert" in told and b"event: state" in told
    assert run.stop() == 0
    run.assert_nothing_left()


def test_listeners_are_told_how_connections_come_and_go(make_run: Make) -> None:
    run, http = _serve(make_run, "instruments_per_connection = 100\nheadroom = 0.0")
    with _listen(http) as listener:
        http.subscribe(simulated_tokens(0, 50))
        _until_told(listener, {(0, "CONNECTING"), (0, "LIVE")})
        assert http.call("POST", "/pool/recycle", {"connection": 0}).status == 200
        _until_told(listener, {(1, "CONNECTING"), (1, "LIVE"), (0, "DRAINING"), (0, "CLOSED")})
    assert run.stop() == 0
    run.assert_nothing_left()


def _until_told(sock: socket.socket, wanted: set[tuple[int, str]]) -> None:
    """Read events until these states of connections were among them."""
    told, found = b"", set()
    while not wanted <= found:
        part = sock.recv(65_536)
        assert part, told
        told += part
        whole = told[: told.rfind(b"\n") + 1].splitlines()
        events = [json.loads(line[6:]) for line in whole if line.startswith(b"data: ")]
        found = {(one.get("connection_id"), one.get("state")) for one in events}


def _hang_and_replace(run: Run, http: HttpClient) -> None:
    pid = run.kill("feed 1", signal.SIGSTOP)
    row = wait_for(lambda: _row(http, 1, hung=True), "the hung feed to be told")
    assert not row["connected"] and row["health_score"] == 0.0
    health = http.get("/health")
    assert health["is_degraded"] and health["health_percentage"] == 50.0
    assert "connection_hung" in {alert["kind"] for alert in http.get("/alerts")["open"]}
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: _row(http, 1, hung=False), "its successor")
    wait_for(lambda: http.get("/health")["status"] != "degraded", "the pool to be well")
    row = wait_for(
        lambda: (found := _row(http, 1, connected=True)) and found["totals"]["gaps"] and found,
        "it to be connected, and the gap to be over",
    )
    assert row["last_error"]["class"] == "PROCESS_KILLED"
    resolved = {alert["kind"] for alert in http.get("/alerts")["resolved"]}
    assert "connection_hung" in resolved


def _row(http: HttpClient, number: int, **wanted: Any) -> Any:
    rows = {row["connection_id"]: row for row in http.stats("exchange")["connections"]}
    found = rows[number]
    return found if all(found.get(key) == value for key, value in wanted.items()) else None


def _listen(http: HttpClient) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", http.port), timeout=30)
    head = f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {http.token}\r\n\r\n"
    sock.sendall(head.encode())
    _until(sock, b": listening")
    return sock


def _until(sock: socket.socket, wanted: bytes) -> bytes:
    found = b""
    while wanted not in found:
        part = sock.recv(65_536)
        assert part, found
        found += part
    return found


def test_counts_of_a_connection_that_comes_late_and_goes_again(make_run: Make) -> None:
    """A14: wanted is not ticking. A15: a reconnect is no new connection. A8: what was given up."""
    pool = "instruments_per_connection = 100\nheadroom = 0.0\nredistribute_after_s = 3600"
    run, http = _serve(make_run, pool, "[feed]\nbackoff_min_s = 0.1\nbackoff_max_s = 0.3\n")
    with control_of(run) as exchange:
        exchange.command("refuse", status=503, seconds=3600)
        http.subscribe(simulated_tokens(0, 60))
        wait_for(lambda: http.stats()["accounts"]["exchange"]["connections"], "a connection")
        row = wait_for(lambda: _row(http, 0, state="RECONNECTING"), "a refusal")
        assert (row["connected"], row["wire_tokens"], row["confirmed_tokens"]) == (False, 0, 0)
        assert _counts(http) == (60, 60, 0)
        exchange.command("admit")
        wait_for(lambda: _counts(http) == (60, 60, 60), "all to tick")
        for _ in range(3):
            before = _row(http, 0)["reconnects"]
            exchange.command("reset", connection=0)
            wait_for(
                lambda n=before: (row := _row(http, 0, connected=True)) and row["reconnects"] > n,  # type: ignore[misc]
                "it to come back",
            )
    wait_for(lambda: _counts(http) == (60, 60, 60), "all to tick again")
    assert http.stats("exchange")["statistics"]["total_connections_created"] == 1
    body = {"client": "http", "instruments": list(simulated_tokens(0, 20))}
    assert http.call("DELETE", "/subscriptions", body).body["removed"] == 20
    wait_for(lambda: _counts(http) == (40, 40, 40), "20 to be given up")
    assert http.stats("exchange")["statistics"]["total_unsubscriptions"] == 20
    assert run.stop() == 0
    run.assert_nothing_left()


def _counts(http: HttpClient) -> tuple[int, int, int]:
    """Return what is wanted, assigned, and has ticked."""
    found = http.stats("exchange")
    names = ("total_target_tokens", "total_subscribed_tokens", "confirmed_tokens")
    wanted, assigned, confirmed = (int(found[name]) for name in names)
    return wanted, assigned, confirmed


def test_it_survives_the_control_process(make_run: Make) -> None:
    """Same port, same token, same demand, and statistics that go on."""
    run, http = _serve(make_run, "instruments_per_connection = 100\nheadroom = 0.0")
    http.subscribe(simulated_tokens(0, 150))
    complete(run, 150)
    wait_for(lambda: http.stats("exchange")["confirmed_tokens"] == 150, "it all to tick")
    before = http.stats("exchange")
    pid = run.kill("control 0")
    wait_for(lambda: run.pid("control 0") not in (0, pid), "its successor")
    wait_for(lambda: _status(http, "/health") == 200, "it to serve")
    after = http.stats("exchange")
    for key in ("total_target_tokens", "total_subscribed_tokens", "statistics", "account_id"):
        assert after[key] == before[key]
    assert after["totals"]["ticks"] >= before["totals"]["ticks"]
    assert token_path(run.paths).read_text().strip() == http.token
    assert len(http.get("/subscriptions?client=http")) == 150
    assert run.stop() == 0
    run.assert_nothing_left()


def _status(http: HttpClient, path: str) -> int:
    try:
        return http.call("GET", path).status
    except (ConnectionError, HTTPException):
        return 0


def test_a_port_that_is_taken_ends_the_start(make_run: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        run = make_run(pool="", more=f"[api]\nport = {port}\n").start()
        assert run.process is not None and run.process.wait(40) == 73
    assert f"[api] 127.0.0.1 port {port}" in run.log.read_text()
    run.assert_nothing_left()


def test_a_token_is_swapped_while_the_old_one_still_streams(make_run: Make, tmp_path: Any) -> None:
    """One connection after the other comes back with the new one; no handshake has the old."""
    secret = tmp_path / "token"
    secret.write_text("demo\n")
    secret.chmod(0o600)
    account = f'access_token = "file:{secret}"'
    pool = "instruments_per_connection = 100\nheadroom = 0.0\nmoves_per_s = 1000"
    run, http = _serve(make_run, pool, account=account)
    http.subscribe(simulated_tokens(0, 150))
    complete(run, 150)
    assert run.numbers == [0, 1]
    with control_of(run) as control:
        control.command("rotate_token", key="demo", token="another")
    body = {"access_token": "another", "rolling": True}
    assert http.call("PUT", "/accounts/exchange/token", body).status == 200
    wait_for(lambda: not {0, 1} & set(run.numbers), "both connections to be replaced")
    complete(run, 150)
    with control_of(run) as control:
        assert control.command("stat")["handshakes_refused"] == 0
    refused = http.call("PUT", "/accounts/exchange/token", {**body, "rolling": 1.5})
    assert refused.status == 422
    assert run.stop() == 0
    run.assert_nothing_left()


def test_a_token_is_swapped_in_its_file(make_run: Make, tmp_path: Any) -> None:
    secret = tmp_path / "token"
    secret.write_text("demo\n")
    secret.chmod(0o600)
    run, http = _serve(make_run, "", account=f'access_token = "file:{secret}"')
    path = "/accounts/exchange/token"
    assert http.call("PUT", path, {"access_token": "another-secret-one"}).status == 200
    assert secret.read_text() == "another-secret-one\n" and secret.stat().st_mode & 0o777 == 0o600
    assert http.call("PUT", path, {"access_token": "no good\n"}).status == 422
    assert call(http.port, "PUT", path, token="x", body={"access_token": "y"}).status == 401
    assert secret.read_text() == "another-secret-one\n"
    assert run.stop() == 0
    assert "another-secret-one" not in run.log.read_text()
    assert http.token not in run.log.read_text()
