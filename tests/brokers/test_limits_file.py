"""Files of limits: what is shipped, what a user's own replaces, and what is said of wrong ones."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from pipeline.brokers.kite.limits import LIMITS, REST_LIMITS
from pipeline.brokers.limits_file import own_limits, shipped_limits
from pipeline.core.errors import ConfigError
from pipeline.core.rates import Endpoint, RestLimits, Scope


def own(text: str) -> RestLimits:
    return own_limits(text, source="own.toml", shipped=REST_LIMITS)


def problems(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        own(text)
    assert str(caught.value).startswith("own.toml: ")
    return {problem.path: str(problem) for problem in caught.value.problems}


def test_the_table_of_what_the_broker_allows_has_the_shipped_numbers() -> None:
    text = (Path(__file__).parents[2] / "docs" / "kite.md").read_text()
    rows = dict(line[2:].split(" | ")[:2] for line in text.splitlines() if line.count(" | ") == 3)
    key = LIMITS.connections_per_key * LIMITS.instruments_per_connection
    assert rows["instruments on a connection"] == f"{LIMITS.instruments_per_connection:,}"
    assert rows["connections of an API key"] == (
        f"{LIMITS.connections_per_key}, so {key:,} instruments"
    )
    assert rows["tokens in a message"] == "no figure"
    assert f"| {LIMITS.tokens_per_command} |" in text
    assert f"| {LIMITS.handshake_spacing_s:g} s apart |" in text


def test_the_shipped_numbers_are_the_documented_ones() -> None:
    assert shipped_limits("pipeline.brokers.kite") == (LIMITS, REST_LIMITS)
    seconds = {str(e): limit.requests_per_second for e, limit in REST_LIMITS.endpoints.items()}
    assert seconds == {
        "quote": 1,
        "historical": 3,
        "order_place": 10,
        "order_modify": 10,
        "order_cancel": 10,
        "default": 10,
    }
    orders = REST_LIMITS.endpoints[Endpoint.ORDER_PLACE]
    assert (orders.requests_per_minute, orders.requests_per_day) == (400, 5000)
    assert (orders.scope, REST_LIMITS.endpoints[Endpoint.QUOTE].scope) == (Scope.USER, Scope.KEY)
    assert REST_LIMITS.instruments_per_call == {"quote": 500, "ohlc": 1000, "ltp": 1000}
    assert LIMITS.frame_bytes_max == 2 + 3000 * 186


def test_a_file_replaces_what_it_names_and_its_source() -> None:
    found = own(
        "[rest]\n"
        'day_starts = { value = "15:30", source = "my own count" }\n'
        "[rest.order_place]\n"
        'requests_per_minute = { value = 200, source = "a mail from support" }\n'
        "[rest.instruments_per_call]\n"
        'quote = { value = 100, source = "to be kind" }\n'
    )
    orders = found.endpoints[Endpoint.ORDER_PLACE]
    assert (orders.requests_per_second, orders.requests_per_minute) == (10, 200)
    assert found.day_starts == datetime.time(15, 30)
    assert found.instruments_per_call == {"quote": 100, "ohlc": 1000, "ltp": 1000}
    assert found.sources["order_place.requests_per_minute"] == "a mail from support"
    before = REST_LIMITS.sources["order_place.requests_per_second"]
    assert found.sources["order_place.requests_per_second"] == before
    assert own("") == REST_LIMITS


def test_every_problem_is_told_with_its_key() -> None:
    found = problems(
        "[websocket]\nconnections_per_key = 5\n"
        '[rest]\nday_starts = { value = "25:00", source = "x" }\n'
        "[rest.quote]\n"
        "requests_per_second = 5\n"
        'requests_per_minut = { value = 5, source = "x" }\n'
        'scope = { value = "app", source = "x" }\n'
        '[rest.orders]\nrequests_per_second = { value = 5, source = "x" }\n'
        '[rest.default]\nrequests_per_second = { value = 0, source = " " }\n'
        '[rest.historical]\nrequests_per_second = { value = true, source = "x" }\n'
    )
    assert found.keys() == {
        "websocket",
        "rest.day_starts",
        "rest.orders",
        "rest.quote.requests_per_second",
        "rest.quote.requests_per_minut",
        "rest.quote.scope",
        "rest.default.requests_per_second",
        "rest.historical.requests_per_second",
    }
    assert "instruments_max" in found["websocket"]
    assert "did you mean requests_per_minute" in found["rest.quote.requests_per_minut"]
    assert "found 5; expected { value = an integer" in found["rest.quote.requests_per_second"]
    assert 'one of "key", "user"' in found["rest.quote.scope"]


@pytest.mark.parametrize("text", ["[rest\n", "\0", "rest = 1", "[rest]\nquote = 3", "[[rest]]"])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    assert problems(text)


def test_a_line_that_is_no_toml_is_named() -> None:
    assert "line 3" in problems("[rest]\n\nquote = = 1\n")["file"]
