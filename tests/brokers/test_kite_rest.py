"""Kite's REST through kiteconnect: answers as its own client gives them, errors as ours."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from pipeline.brokers.kite.rest import ENDPOINT, KiteRest, KiteRestSession
from pipeline.brokers.kite.symbols import read_instruments
from pipeline.core.errors import (
    AuthError,
    PipelineError,
    RateLimited,
    RequestError,
    UpstreamError,
)
from pipeline.core.exit_codes import ExitCode
from pipeline.core.secrets import Secret
from tests.rest.answers import Answer, Server, answering, failure, success

TOKEN = "canary7token7of7today"
REST = KiteRest()


@contextmanager
def session(*answers: Answer) -> Iterator[tuple[KiteRestSession, Server]]:
    with answering(*answers) as server:
        opened = REST.open(endpoint=server.url, api_key="the_key", timeout_s=5.0)
        opened.authorize(Secret(TOKEN))
        try:
            yield opened, server
        finally:
            opened.close()


@pytest.mark.parametrize(
    "text",
    [
        "AbC123xyz",
        "  AbC123xyz\n",
        "https://127.0.0.1:5000/back?status=success&request_token=AbC123xyz&action=login",
        "http://x/?request_token=AbC123xyz",
        "?action=login&request_token=AbC123xyz",
        "request_token=AbC123xyz",
    ],
)
def test_a_request_token_is_found_in_what_people_paste(text: str) -> None:
    assert REST.request_token(text) == "AbC123xyz"


@pytest.mark.parametrize(
    "text",
    ["", "x", "https://kite.zerodha.com/?request_token=", "a b", "https://x/?token=AbC123xyz"],
)
def test_what_is_no_request_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="request token") as caught:
        REST.request_token(text)
    assert len(text) < 5 or text not in str(caught.value)


def test_the_login_address_is_kites_or_the_simulators() -> None:
    address = REST.login_address(endpoint=ENDPOINT, api_key="k&y")
    assert address == "https://kite.zerodha.com/connect/login?v=3&api_key=k%26y"
    address = REST.login_address(endpoint="http://127.0.0.1:9", api_key="demo")
    assert address == "http://127.0.0.1:9/connect/login?v=3&api_key=demo"


def test_calls_carry_key_and_token_and_the_instruments() -> None:
    with session(success({"NSE:INFY": {"instrument_token": 408065, "last_price": 1.5}})) as (
        s,
        far,
    ):
        found = s.ltp(["NSE:INFY", "NSE:M&M"])
    assert found == {"NSE:INFY": {"instrument_token": 408065, "last_price": 1.5}}
    (asked,) = far.asked
    assert asked.path == "/quote/ltp?i=NSE%3AINFY&i=NSE%3AM%26M"
    assert asked.headers["authorization"] == f"token the_key:{TOKEN}"
    assert asked.headers["x-kite-version"] == "3"


def test_log_in_sends_the_checksum_and_gives_the_token() -> None:
    answer = success(
        {"access_token": "fresh0token", "user_id": "AB1234", "user_name": "A", "login_time": ""}
    )
    with session(answer) as (s, far):
        login = s.log_in(Secret("request1"), Secret("the_secret"))
    assert (login.access_token.reveal(), login.user_id) == ("fresh0token", "AB1234")
    assert "fresh0token" not in repr(login)
    checksum = hashlib.sha256(b"the_keyrequest1the_secret").hexdigest()
    sent = {name: values[0] for name, values in parse_qs(far.asked[0].body.decode()).items()}
    assert sent == {"api_key": "the_key", "request_token": "request1", "checksum": checksum}
    assert (far.asked[0].method, far.asked[0].path) == ("POST", "/session/token")


CASES: list[tuple[Answer, type[PipelineError], str]] = [
    (failure(403, "TokenException", "Incorrect `api_key`"), AuthError, "rejected the access token"),
    (failure(403, "PermissionException", "not yours"), RequestError, "HTTP 403 .not yours"),
    (failure(400, "InputException", "no such"), RequestError, "HTTP 400 .no such"),
    (failure(429, "NetworkException", "Too many", Retry_After="7"), RateLimited, "429"),
    (Answer(429, b"<html>", "text/html"), RateLimited, "429"),
    (Answer(429, b"", None), RateLimited, "429"),
    (failure(503, "NetworkException", "down"), UpstreamError, "HTTP 503"),
    (failure(502, "DataException", "OMS"), UpstreamError, "HTTP 502"),
    (failure(500, "GeneralException", "bug"), UpstreamError, "HTTP 500"),
    (failure(500, "NewException", "odd"), UpstreamError, "HTTP 500"),
    (Answer(502, b"<html>", "text/html"), UpstreamError, "HTTP 502"),
    (Answer(200, b"{", "application/json"), UpstreamError, "HTTP 200"),
    (Answer(200, b"[]", "application/json"), UpstreamError, "no answer of Kite's"),
    (Answer(200, b"{}", "application/json"), UpstreamError, "no answer of Kite's"),
    (Answer(200, b"null", "application/json"), UpstreamError, "no answer of Kite's"),
    (Answer(200, b"{}", None), UpstreamError, "no answer of Kite's"),
    (success(3), UpstreamError, "no answer of Kite's"),
    (Answer(0), UpstreamError, "no answer"),
]


@pytest.mark.parametrize(("answer", "kind", "told"), CASES)
def test_errors_are_ours_and_hold_no_secret(
    answer: Answer, kind: type[PipelineError], told: str
) -> None:
    with session(answer) as (s, _), pytest.raises(PipelineError, match=told) as caught:
        s.profile()
    assert type(caught.value) is kind
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert TOKEN not in shown


def test_a_429_says_when_to_come_back() -> None:
    with session(CASES[3][0]) as (s, _), pytest.raises(RateLimited) as caught:
        s.quote(["NSE:INFY"])
    assert caught.value.retry_after_s == 7.0
    with session(CASES[4][0]) as (s, _), pytest.raises(RateLimited) as caught:
        s.quote(["NSE:INFY"])
    assert caught.value.retry_after_s == 0.0


def test_a_rejected_login_names_what_was_rejected() -> None:
    answer = failure(403, "TokenException", "Token is invalid or has expired.")
    with session(answer) as (s, _), pytest.raises(AuthError) as caught:
        s.log_in(Secret("request1"), Secret("the_secret"))
    assert "the request token, or the API secret" in str(caught.value)
    assert caught.value.exit_code is ExitCode.AUTH


def test_nobody_there_is_upstream_unavailable() -> None:
    with answering(success({})) as server:
        url = server.url
    opened = REST.open(endpoint=url, api_key="k", timeout_s=5.0)
    with pytest.raises(UpstreamError, match="user/profile: no answer"):
        opened.profile()
    opened.close()


def test_an_echoed_secret_is_blanked() -> None:
    answer = failure(400, "InputException", f"what is {TOKEN} " + "x" * 500)
    with session(answer) as (s, _), pytest.raises(RequestError) as caught:
        s.profile()
    assert TOKEN not in str(caught.value) and len(str(caught.value)) < 300


def test_no_library_logs_a_secret_even_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    login = success({"access_token": "fresh0token", "login_time": ""})
    with caplog.at_level(logging.DEBUG), session(success({}), login, success(True)) as (s, far):
        s.profile()
        s.log_in(Secret("request1"), Secret("the_secret"))
        s.authorize(Secret(TOKEN))
        s.log_out()
    assert TOKEN in far.asked[2].path  # Kite wants it in the address
    assert "/session/token" in caplog.text
    for secret in (TOKEN, "request1", "the_secret", "fresh0token"):
        assert secret not in caplog.text


# ---- the official mocks, where they are


@pytest.fixture
def mocks() -> Path:
    if "KITE_MOCKS" not in os.environ:
        pytest.skip("KITE_MOCKS is not set: point it to a checkout of kiteconnect-mocks")
    return Path(os.environ["KITE_MOCKS"])


@pytest.mark.parametrize("name", ["quote", "ohlc", "ltp"])
def test_official_answers_come_as_the_official_client_gives_them(mocks: Path, name: str) -> None:
    import kiteconnect

    body = (mocks / f"{name}.json").read_bytes()
    with session(Answer(body=body)) as (s, far):
        found = getattr(s, name)(["NSE:INFY"])
        client = kiteconnect.KiteConnect("the_key", TOKEN, root=far.url)
        assert found == getattr(client, name)(["NSE:INFY"])
        client.reqsession.close()
    prices = json.loads(body)["data"]["NSE:INFY"]
    assert found["NSE:INFY"]["last_price"] == prices["last_price"]


def test_official_profile_and_session(mocks: Path) -> None:
    profile = Answer(body=(mocks / "profile.json").read_bytes())
    login = Answer(body=(mocks / "generate_session.json").read_bytes())
    with session(profile, login) as (s, _):
        assert s.profile()["user_id"] == "AB1234"
        assert s.log_in(Secret("request1"), Secret("the_secret")).user_id == "XX0000"


def test_official_instrument_list(mocks: Path) -> None:
    text = (mocks / "instruments_all.csv").read_text()
    rows: Callable[[str], list[dict[str, Any]]] = lambda t: list(csv.DictReader(io.StringIO(t)))  # noqa: E731
    with session(Answer(body=text.encode(), content_type="text/csv")) as (s, far):
        found = s.instruments("NSE")
    assert far.asked[0].path == "/instruments/NSE"
    assert rows(found) == rows(text)
    assert len(list(read_instruments(found.splitlines()))) == len(rows(text))
