"""A client of one account: batches, turns, tokens that change, threads, asyncio."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.brokers.kite.limits import REST_LIMITS
from pipeline.brokers.registry import load_broker
from pipeline.core.config import Config, parse
from pipeline.core.errors import AuthError, ConfigError, RateLimited
from pipeline.core.rates import Endpoint, EndpointLimit, Scope
from pipeline.core.secrets import Secret
from pipeline.planning.rate_limits import SECOND_NS, Now
from pipeline.rest.accounts import open_governor, open_rest, rest_endpoint
from pipeline.rest.client import AsyncRestClient, RestClient
from pipeline.rest.governor import Governor
from tests.rest.answers import Answer, Server, answering, failure, success

LIMITS = {"kite": load_broker("kite").limits}
QUICK = dataclasses.replace(
    REST_LIMITS,
    endpoints={
        **REST_LIMITS.endpoints,
        Endpoint.QUOTE: EndpointLimit(scope=Scope.KEY, requests_per_second=100),
    },
)


@contextmanager
def client(server: Server, governor: Governor | None = None) -> Iterator[RestClient]:
    opened = RestClient(
        load_broker("kite"),
        governor or Governor(QUICK),
        api_key="k",
        token=lambda: Secret("token0of0today"),
        endpoint=server.url,
    )
    with opened:
        yield opened


def names(server: Server) -> list[list[str]]:
    return [parse_qs(urlsplit(asked.path).query)["i"] for asked in server.asked]


def test_more_instruments_than_a_call_takes_are_asked_for_in_several() -> None:
    wanted = [f"NSE:X{i}" for i in range(2300)]
    with answering(success({})) as server, client(server) as rest:
        assert rest.ltp([*wanted, "NSE:X0"]) == {}
        assert rest.quote(wanted[:501]) == {}
        assert rest.ohlc([]) == {}
    assert [len(batch) for batch in names(server)] == [1000, 1000, 300, 500, 1]
    assert [name for batch in names(server)[:3] for name in batch] == wanted


def test_answers_of_all_batches_are_one() -> None:
    first, second = success({"NSE:X0": {"last_price": 1}}), success({"NSE:X1": {"last_price": 2}})
    with answering(first, second) as server, client(server) as rest:
        found = rest.ltp([f"NSE:X{i}" for i in range(1001)])
    assert found == {"NSE:X0": {"last_price": 1}, "NSE:X1": {"last_price": 2}}


def test_every_call_goes_through_the_governor() -> None:
    now_ns = 0

    def sleep(seconds: float) -> None:
        nonlocal now_ns
        now_ns += int(seconds * SECOND_NS)

    governor = Governor(REST_LIMITS, clock=lambda: Now(now_ns, now_ns), sleep=sleep)
    csv = Answer(body=b"a,b\n", content_type="text/csv")
    login = success({"access_token": "fresh0token", "login_time": ""})
    answers = [*[success({})] * 4, csv, login, success(True)]
    with answering(*answers) as server, client(server, governor) as rest:
        rest.quote(["NSE:A"])
        rest.ohlc(["NSE:A"])
        rest.ltp(["NSE:A"])
        rest.profile()
        assert rest.instruments() == "a,b\n"
        rest.log_in(Secret("request1"), Secret("secret1"))
        rest.log_out()
    found = governor.stats()
    assert len(server.asked) == found["total_requests"] == 7
    assert found["endpoints"]["quote"]["requests_today"] == 3
    assert found["endpoints"]["default"]["requests_today"] == 4
    assert now_ns == 2 * SECOND_NS


def test_a_429_closes_the_class_for_everybody() -> None:
    now = Now(0, 0)
    governor = Governor(REST_LIMITS, clock=lambda: now)
    answer = failure(429, "NetworkException", "Too many requests", Retry_After="60")
    with (
        answering(answer) as server,
        client(server, governor) as one,
        client(server, governor) as two,
    ):
        for rest in (one, two):
            with pytest.raises(RateLimited) as caught:
                rest.quote(["NSE:A"])
            assert caught.value.retry_after_s == 60.0
    assert len(server.asked) == 1


def test_the_token_is_read_at_each_call_and_kept_by_nobody() -> None:
    tokens = iter(["first0token", "second0token"])
    rejected = failure(403, "TokenException", "expired")
    with answering(rejected, success({})) as server:
        rest = RestClient(
            load_broker("kite"),
            Governor(QUICK),
            api_key="k",
            token=lambda: Secret(next(tokens)),
            endpoint=server.url,
        )
        with rest:
            with pytest.raises(AuthError):
                rest.profile()
            rest.profile()
            assert "0token" not in repr(vars(rest))
    assert [asked.headers["authorization"] for asked in server.asked] == [
        "token k:first0token",
        "token k:second0token",
    ]


def test_threads_share_a_client() -> None:
    with answering(success({"user_id": "X"})) as server, client(server) as rest:
        found: list[str] = []
        threads = [
            threading.Thread(target=lambda: found.append(rest.profile()["user_id"]))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["X"] * 8


def test_asyncio_waits_without_threads() -> None:
    async def run(rest: AsyncRestClient) -> list[dict[str, object]]:
        return await asyncio.gather(*(rest.quote(["NSE:A"]) for _ in range(40)))

    with answering(success({"NSE:A": {"last_price": 1}})) as server, client(server) as rest:
        found = asyncio.run(run(AsyncRestClient(rest)))
        csv = Answer(body=b"a\n", content_type="text/csv")
        server.answers = [success({"user_id": "X"}), csv, success({}), success({})]
        assert asyncio.run(AsyncRestClient(rest).profile()) == {"user_id": "X"}
        assert asyncio.run(AsyncRestClient(rest).instruments("NSE")) == "a\n"
        assert asyncio.run(AsyncRestClient(rest).ltp(["NSE:A"])) == {}
        assert asyncio.run(AsyncRestClient(rest).ohlc(["NSE:A"])) == {}
    assert found == [{"NSE:A": {"last_price": 1}}] * 40


def test_a_task_that_is_cancelled_ends_its_turn_all_the_same() -> None:
    governor, release = Governor(QUICK), threading.Event()

    async def run(rest: AsyncRestClient) -> None:
        task = asyncio.create_task(rest.profile())
        while not server.asked:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        release.set()

    answer = dataclasses.replace(failure(500, "GeneralException", "x"), release=release)
    with answering(answer) as server, client(server, governor) as rest:
        asyncio.run(run(AsyncRestClient(rest)))
    for _ in range(
        10
    ):  # as many as may go together: had that turn not ended, one would wait for ever
        governor.acquire(Endpoint.DEFAULT, key="k")
    assert governor.stats()["endpoints"]["default"]["requests_last_minute"] == 11


# ---- from a config

CONFIG = """
[simulator]
port = {port}
[broker_rest]
limits_file = "limits.toml"
timeout_s = 5.0
[[account]]
name = "sim"
url = "simulator"
api_key = "demo"
[[account]]
name = "near"
url = "ws://127.0.0.1:8765"
api_key = "demo"
[[account]]
name = "live"
api_key = "live_key"
access_token = "file:token"
user = "AB1234"
[[account]]
name = "told"
api_key = "k"
access_token = "file:token"
rest_url = "https://proxy.example/kite/"
[[connection]]
account = "sim"
[[connection]]
account = "near"
"""


def config_of(folder: Path, port: int = 0) -> Config:
    (folder / "limits.toml").write_text(
        '[rest.quote]\nrequests_per_second = { value = 4, source = "a test" }\n'
    )
    text = CONFIG.format(port=port)
    return parse(text, limits=LIMITS, folder=folder, read_secrets=False)


def test_each_account_has_its_address(tmp_path: Path) -> None:
    config = config_of(tmp_path, port=9123)
    found = {account.name: rest_endpoint(config, account) for account in config.accounts}
    assert found == {
        "sim": "http://127.0.0.1:9123",
        "near": "http://127.0.0.1:8765",
        "live": "https://api.kite.trade",
        "told": "https://proxy.example/kite",
    }
    with pytest.raises(ConfigError, match=r"simulator\.port: found 0"):
        rest_endpoint(config_of(tmp_path), config.accounts[0])


def test_a_config_makes_governor_and_clients(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    governor = open_governor(config)
    assert governor.config()["limits"]["quote"]["requests_per_second"] == 4
    (tmp_path / "token").write_text("token0of0a0file\n")
    (tmp_path / "token").chmod(0o600)
    with answering(success({"user_id": "AB1234"})) as server:
        account = dataclasses.replace(config.account("live"), rest_url=server.url)
        with open_rest(config, account, governor) as rest:
            assert rest.profile() == {"user_id": "AB1234"}
            assert rest.login_address().startswith(server.url)
    assert server.asked[0].headers["authorization"] == "token live_key:token0of0a0file"


def test_a_wrong_file_of_limits_is_a_config_error(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    (tmp_path / "limits.toml").write_text(json.dumps({"rest": 1}))
    with pytest.raises(ConfigError, match=r"limits\.toml"):
        open_governor(config)
