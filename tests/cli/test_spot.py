"""Prices before anything streams: asked once, and only where somebody can be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import spot
from pipeline.cli.spot import StartingPrices
from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import Config, parse
from pipeline.core.errors import AuthError
from tests.instruments.lists import stored

LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
LIVE = 'url = "ws://127.0.0.1:9"'
NIFTY = 256265


def config(folder: Path, where: str) -> Config:
    stored(folder)
    text = (
        f'[instruments]\nfile = "list.sqlite"\n[simulator]\n[[account]]\nname = "a"\n{where}\n'
        'api_key = "demo"\n[[connection]]\naccount = "a"\n'
    )
    return parse(text, limits=LIMITS, folder=folder)


class FakeRest:
    """A broker that answers with `answer`, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []
        self.closed = 0

    def __enter__(self) -> FakeRest:
        return self

    def __exit__(self, *exception: object) -> None:
        self.closed += 1

    def ltp(self, names: list[str]) -> Any:
        self.asked.append(names)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def prices(folder: Path, where: str, rest: FakeRest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(spot, "open_rest", lambda *arguments: rest)
    warnings: list[str] = []
    found = StartingPrices(config(folder, where), warnings)
    values = [found(NIFTY), found(NIFTY)]
    found.close()
    return values, warnings


def test_each_price_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = FakeRest({"NSE:NIFTY 50": {"instrument_token": NIFTY, "last_price": 24_999.5}})
    assert prices(tmp_path, LIVE, rest, monkeypatch) == ([24_999.5] * 2, [])
    assert rest.asked == [["NSE:NIFTY 50"]] and rest.closed == 1


@pytest.mark.parametrize(
    ("answer", "told"), [(AuthError("ltp: rejected"), "rejected"), ({}, "does not know it")]
)
def test_without_an_answer_the_lists_price_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, told: str
) -> None:
    values, warnings = prices(tmp_path, LIVE, FakeRest(answer), monkeypatch)
    assert values == [24_010.0] * 2
    assert len(warnings) == 1 and told in warnings[0]


def test_an_exchange_that_does_not_run_yet_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = FakeRest({})
    assert prices(tmp_path, 'url = "simulator"', rest, monkeypatch) == ([24_010.0] * 2, [])
    assert rest.asked == [] and rest.closed == 0
