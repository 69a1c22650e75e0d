"""The forms in docs/instruments.md are read, and stand for what is listed."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from pipeline.core.forms import parse_form
from pipeline.instruments import Catalogue
from tests.instruments.lists import WEEKS, future, option, small_list, stored

TEXT = (Path(__file__).parents[2] / "docs" / "instruments.md").read_text()
FORMS = re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE)
TODAY = date(2024, 11, 20)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    rows = small_list()
    rows[5] = rows[5]._replace(last_price=52_010.0)  # NIFTY BANK
    token = 20_000_002
    for strike in range(51_500, 52_501, 100):
        rows.append(option(token, "BANKNIFTY", WEEKS[1], float(strike), "CE"))
        token += 256
    rows.append(option(token, "INFY", WEEKS[1], 1580.0, "CE"))
    rows.append(future(token + 256, "BANKNIFTY", WEEKS[1]))
    return stored(tmp_path_factory.mktemp("list"), rows)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_table_stands_for_something(catalogue: Catalogue, form: str) -> None:
    parse_form(form)
    resolved = catalogue.resolve([form], today=TODAY)
    assert resolved.unknown == () and resolved.tokens


def test_the_table_is_whole() -> None:
    assert len(FORMS) >= 18
    assert {"408065", "NSE:#1594", "NFO:NIFTY@weekly:atm+-10:CE,PE"} <= set(FORMS)


def test_a_window_has_as_many_options_as_the_table_says(catalogue: Catalogue) -> None:
    assert len(catalogue.resolve(["NFO:NIFTY@weekly:atm+-10:CE,PE"], today=TODAY).tokens) == 42
