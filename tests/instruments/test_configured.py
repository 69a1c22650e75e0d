"""Names in a config become tokens at the start, and all that is wrong is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import Config, parse
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.plan import plan_topology
from pipeline.instruments.configured import resolve_config
from tests.instruments.lists import DAY, stored

LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
HEAD = """
[simulator]
[[account]]
name = "a"
url = "simulator"
api_key = "demo"
[[connection]]
account = "a"
instruments_max = {room}
[instruments]
file = "list.sqlite"
"""


def config(folder: Path, *subscriptions: str, room: int = 100) -> Config:
    text = HEAD.format(room=room) + "".join(f"[[subscription]]\n{line}\n" for line in subscriptions)
    return parse(text, limits=LIMITS, folder=folder)


def problems(found: Config) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        resolve_config(found, today=DAY)
    return list(caught.value.problems)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stored(tmp_path)
    return tmp_path


def test_names_and_tokens_keep_their_order(folder: Path) -> None:
    forms = '["NSE:RELIANCE", 408065, "NFO:NIFTY@fut:all", "256265", "BSE_INDEX:SENSEX", 999]'
    found = config(folder, f"instruments = {forms}", 'instruments = ["NSE:M&M"]\nmode = "full"')
    assert found.subscriptions[0].tokens == (408065, 256265, 999)
    warnings: list[str] = []
    resolved = resolve_config(found, today=DAY, warnings=warnings)
    tokens = (738561, 408065, 8_980_226, 8_980_482, 256265, 265, 999)
    assert [s.tokens for s in resolved.subscriptions] == [tokens, (519937,)]
    assert plan_topology(resolved).connections[0].wanted[0].instrument_token == 738561
    with pytest.raises(ValueError, match="resolve_config comes first"):
        plan_topology(found)
    assert warnings == []


def test_a_config_of_tokens_needs_no_list(tmp_path: Path) -> None:
    found = config(tmp_path, "instruments = [1, 2]", "simulated = { first = 9, count = 3 }")
    assert resolve_config(found) is found


def test_names_from_a_file(folder: Path) -> None:
    lines = "# mine\nNSE:INFY # a share\n\nBSE:#500209#the same\n256265\nNFO:NIFTY@fut\n"
    (folder / "names.txt").write_text(lines)
    resolved = resolve_config(config(folder, 'file = "names.txt"'), today=DAY)
    assert resolved.subscriptions[0].tokens == (408065, 128053508, 256265, 8_980_226)


def test_windows_may_overlap_within_a_subscription(folder: Path) -> None:
    forms = '["NFO:NIFTY@weekly:24000..24100:CE", "NFO:NIFTY@weekly:atm+-1:CE"]'
    resolved = resolve_config(config(folder, f"instruments = {forms}"), today=DAY)
    assert len(resolved.subscriptions[0].tokens) == 4


def test_what_a_pool_mirrors_is_looked_up_too(folder: Path) -> None:
    text = HEAD.format(room=100).replace(
        '[[connection]]\naccount = "a"\ninstruments_max = 100\n', ""
    )
    mirror = '["NSE:INFY", 408065, 999, "NFO:NIFTY@fut"]'  # named twice is no mistake here
    found = parse(f"{text}[pool]\nmirror = {mirror}", limits=LIMITS, folder=folder)
    pool = resolve_config(found, today=DAY).pool
    assert pool is not None and pool.mirror_tokens == (408065, 999, 8_980_226)
    wrong = parse(f'{text}[pool]\nmirror = ["NSE:INFI"]', limits=LIMITS, folder=folder)
    [problem] = problems(wrong)
    assert problem.path == "pool.mirror" and "NSE:INFY" in problem.hint
    (folder / "list.sqlite").unlink()
    [problem] = problems(wrong)
    assert problem.path == "pool.mirror" and "list" in problem.allowed


def test_atm_takes_the_price_that_is_given(folder: Path) -> None:
    found = config(folder, 'instruments = ["NFO:NIFTY@weekly:atm:CE"]')
    tokens = [
        resolve_config(found, today=DAY, spot=lambda token, price=price: price)  # type: ignore[misc]
        .subscriptions[0]
        .tokens
        for price in (24_000.0, 25_000.0)
    ]
    assert tokens[0] != tokens[1]


def test_everything_unknown_is_told_at_once(folder: Path) -> None:
    (folder / "names.txt").write_text("NSE:INFZ\n")
    found = problems(
        config(
            folder,
            'instruments = ["NSE:INFI", "NSE:INFY", "NFO:VEDL@weekly:atm"]',
            'file = "names.txt"',
        )
    )
    assert [problem.path for problem in found] == [
        *["subscription[0].instruments"] * 2,
        "subscription[1].file",
    ]
    assert "'NSE:INFI', not in the list of 2024-11-20" in found[0].found
    assert found[0].hint.startswith("did you mean NSE:INFY")


def test_one_instrument_by_two_names(folder: Path) -> None:
    [problem] = problems(config(folder, 'instruments = ["NSE:INFY", 408065, "NSE:RELIANCE"]'))
    assert problem.found == "NSE:INFY and 408065, which are one"


def test_one_instrument_in_two_subscriptions(folder: Path) -> None:
    [problem] = problems(
        config(folder, 'instruments = ["NSE:INFY"]', 'instruments = ["NSE:#1594"]')
    )
    assert problem.path == "subscription[1]" and "408065 again" in problem.found


def test_a_window_too_large_for_the_connections(folder: Path) -> None:
    [problem] = problems(config(folder, 'instruments = ["NFO:NIFTY@weekly:all"]', room=100))
    assert problem.found == "22 instruments without a place"


def test_a_missing_list_names_the_command(tmp_path: Path) -> None:
    [problem] = problems(config(tmp_path, 'instruments = [1, "NSE:INFY"]'))
    assert problem.path == "subscription[0].instruments"
    assert "python -m pipeline instruments sync" in problem.hint
    assert str(tmp_path / "list.sqlite") in problem.hint


def test_an_old_list_is_a_warning(folder: Path) -> None:
    warnings: list[str] = []
    resolve_config(config(folder, 'instruments = ["NSE:INFY"]'), warnings=warnings)
    assert "is of 2024-11-20" in warnings[0] and len(warnings) == 1


@pytest.mark.parametrize("name", ['"INFY"', '"NFO:NIFTY@daily:atm"', "1.5", "true", '""', "0"])
def test_the_syntax_is_checked_without_a_list(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, f'instruments = ["NSE:INFY", {name}]')
    problem = caught.value.problems[0]
    assert "at position 1" in problem.found and '"NSE:INFY"' in problem.allowed
