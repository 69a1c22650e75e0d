"""The governed client against the simulated exchange, which counts for itself."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.brokers.kite.limits import REST_LIMITS
from pipeline.brokers.registry import load_broker
from pipeline.core.errors import AuthError, RateLimited, UpstreamError
from pipeline.core.rates import Endpoint
from pipeline.core.secrets import Secret, SecretReference, store
from pipeline.rest.client import AsyncRestClient, RestClient
from pipeline.rest.governor import Governor
from tests.sim.harness import PATIENCE_S, Simulator, simulator


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("sim"), "--instruments", "1200") as running:
        yield running


def governor(quotes_per_second: int) -> Governor:
    endpoints = dict(REST_LIMITS.endpoints)
    endpoints[Endpoint.QUOTE] = dataclasses.replace(
        endpoints[Endpoint.QUOTE], requests_per_second=quotes_per_second
    )
    return Governor(dataclasses.replace(REST_LIMITS, endpoints=endpoints))


@contextmanager
def client(exchange: Simulator, key: str, governor: Governor) -> Iterator[RestClient]:
    rest = RestClient(
        load_broker("kite"),
        governor,
        api_key=key,
        token=lambda: Secret(key),
        endpoint=f"http://127.0.0.1:{exchange.port}",
        timeout_s=PATIENCE_S,
    )
    with rest:
        yield rest


def seen(exchange: Simulator) -> dict[str, Any]:
    """Return what the exchange itself has counted."""
    address = f"http://127.0.0.1:{exchange.port}/sim/state"
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as response:
        found: dict[str, Any] = json.load(response)["rest"]
    return found


def fifteen_calls(exchange: Simulator, *, per_second: int) -> None:
    """Ask fifteen times at once, from threads and tasks; the exchange must see no more at once."""
    exchange.command("rest_limits", quote=per_second)
    counted = governor(per_second)

    async def ask(rest: AsyncRestClient) -> list[dict[str, Any]]:
        return await asyncio.gather(*(rest.ltp(["NSE:INFY"]) for _ in range(8)))

    with client(exchange, "demo", counted) as rest, ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(rest.quote, ["NSE:INFY"]) for _ in range(7)]
        found = asyncio.run(ask(AsyncRestClient(rest)))
        found += [future.result() for future in futures]
    assert all(answer["NSE:INFY"]["last_price"] > 0 for answer in found)
    state = seen(exchange)
    assert state["most_in_a_second"]["quote"] <= per_second
    assert "429" not in state["statuses"]
    stats = counted.stats()
    assert stats["total_requests"] == stats["endpoints"]["quote"]["requests_today"] == 15
    assert stats["rate_limited_count"] >= 1 and stats["total_wait_time_seconds"] > 0
    assert stats["avg_wait_time_ms"] == pytest.approx(
        stats["total_wait_time_seconds"] * 1000 / 15, abs=0.1
    )


def test_fifteen_quotes_at_once_never_get_429(tmp_path: Path) -> None:
    with simulator(tmp_path, "--instruments", "10") as running:
        fifteen_calls(running, per_second=5)


@pytest.mark.full
def test_fifteen_quotes_at_the_real_limit(tmp_path: Path) -> None:
    with simulator(tmp_path, "--instruments", "10") as running:
        fifteen_calls(running, per_second=1)


def test_another_user_of_the_key_makes_429_which_closes_the_class(exchange: Simulator) -> None:
    exchange.command("rest_limits", quote=0)
    with (
        client(exchange, "demo2", governor(1)) as one,
        client(exchange, "demo2", governor(1)) as two,
    ):
        exchange.command("rest_refuse", status=429, path="/quote", key="demo2", retry_after_s=60)
        with pytest.raises(RateLimited) as caught:
            one.ltp(["NSE:INFY"])
        assert caught.value.retry_after_s == 60.0
        calls = seen(exchange)["calls"]
        with pytest.raises(RateLimited, match="the broker has said 429"):
            one.ltp(["NSE:INFY"])
        assert seen(exchange)["calls"] == calls
        assert one.profile()["user_id"] == "SIMDEMO2"  # another class
        assert two.ltp(["NSE:INFY"])["NSE:INFY"]["instrument_token"] == 408065


def test_thousands_of_instruments_are_asked_for_in_whole_calls(exchange: Simulator) -> None:
    exchange.command("rest_limits", quote=0)
    with client(exchange, "demo3", governor(100)) as rest:
        listed = list(load_broker("kite").read_instruments(rest.instruments().splitlines(), None))
        assert len(listed) == 1200
        found = rest.quote([row.key for row in listed])
        prices = rest.ltp([row.key for row in listed])
        nse = rest.instruments("NSE").splitlines()
    assert {name: quote["instrument_token"] for name, quote in found.items()} == {
        row.key: row.instrument_token for row in listed
    }
    assert prices.keys() == found.keys()
    assert 1 < len(nse) < 1200


def test_a_dead_token_is_told_and_its_successor_is_used(
    exchange: Simulator, tmp_path: Path
) -> None:
    exchange.command("rest_calm")
    path = tmp_path / "token"
    store(path, Secret("demo3"))
    reference = SecretReference("file", str(path))
    rest = RestClient(
        load_broker("kite"),
        governor(10),
        api_key="demo3",
        token=lambda: reference.read().secret,
        endpoint=f"http://127.0.0.1:{exchange.port}",
        timeout_s=PATIENCE_S,
    )
    with rest:
        assert rest.profile()["user_id"] == "SIMDEMO3"
        exchange.command("rotate_token", key="demo3", token="tomorrows0token")
        with pytest.raises(AuthError, match="token login"):
            rest.profile()
        store(path, Secret("tomorrows0token"))
        assert rest.profile()["user_id"] == "SIMDEMO3"
        rest.log_out()
        with pytest.raises(AuthError):
            rest.profile()
    exchange.command("restore_token", key="demo3")


def test_trouble_upstream_is_ours_and_passes(exchange: Simulator) -> None:
    exchange.command("rest_calm")
    with client(exchange, "demo", governor(10)) as rest:
        for fault, parameters in (
            ("rest_refuse", {"status": 503}),
            ("rest_garble", {}),
            ("rest_drop", {}),
        ):
            exchange.command(fault, path="/user", **parameters)
            with pytest.raises(UpstreamError):
                rest.profile()
        assert rest.profile()["user_id"] == "SIMDEMO"


def test_an_answer_that_is_late_is_none(exchange: Simulator) -> None:
    exchange.command("rest_delay", ms=60_000, path="/user")
    with client(exchange, "demo", governor(10)) as rest:
        rest._timeout_s = 0.2
        with pytest.raises(UpstreamError, match="no answer"):
            rest.profile()
    exchange.command("rest_calm")
