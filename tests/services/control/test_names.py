"""Names of instruments, as the control process finds them."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.services.control.names import Names
from tests.instruments.lists import DAY, stored


def _nowhere(token: int) -> float | None:
    return None


def test_known_names_have_tokens_and_strangers_have_neighbours(tmp_path: Path) -> None:
    stored(tmp_path)
    names = Names(tmp_path / "list.sqlite", _nowhere, today=DAY)
    known, strangers = names.resolve(["NSE:RELIANCE", "NFO:NIFTY@fut:all", "NSE:RELIANC"])
    assert known == {"NSE:RELIANCE": (738561,), "NFO:NIFTY@fut:all": (8_980_226, 8_980_482)}
    assert strangers["NSE:RELIANC"].near == ("NSE:RELIANCE",)
    assert "NSE:RELIANC" in strangers["NSE:RELIANC"].text


def test_without_a_list_every_name_is_a_stranger_with_the_command(tmp_path: Path) -> None:
    path = tmp_path / "list.sqlite"
    names = Names(path, _nowhere, today=DAY)
    known, strangers = names.resolve(["NSE:RELIANCE"])
    assert known == {} and "instruments sync" in strangers["NSE:RELIANCE"].text
    stored(tmp_path)
    assert names.resolve(["NSE:RELIANCE"])[0] == {"NSE:RELIANCE": (738561,)}


def test_a_new_list_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    stored(tmp_path)
    path = tmp_path / "list.sqlite"
    names = Names(path, _nowhere, today=DAY)
    names.resolve(["NSE:RELIANCE"])
    os.utime(path, ns=(1, 1))
    path.write_bytes(b"broken")
    known, strangers = names.resolve(["NSE:RELIANCE"])
    assert known == {} and strangers["NSE:RELIANCE"].text


def test_at_the_money_goes_by_the_newest_tick(tmp_path: Path) -> None:
    stored(tmp_path)
    asked: list[int] = []

    def last_price(token: int) -> float | None:
        asked.append(token)
        return None

    names = Names(tmp_path / "list.sqlite", last_price, today=DAY)
    by_list, _ = names.resolve(["NFO:NIFTY@near:atm:CE"])
    assert asked
    found, _ = Names(tmp_path / "list.sqlite", lambda token: 1.0, today=DAY).resolve(
        ["NFO:NIFTY@near:atm:CE"]
    )
    assert by_list and found and found != by_list
