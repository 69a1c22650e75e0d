"""Keys of a pool that say where instruments go, and what they may not say together."""

from __future__ import annotations

import pytest

from pipeline.core.config import Config
from pipeline.core.config.pool_checks import check_placement
from tests.core.config.test_checks import ACCOUNT, BASE, CONNECTION, LIMITS, only, parse, problems

SECOND = ACCOUNT.replace('"a"', '"b"').replace("demo", "demo2")
POOL = f"{BASE}{SECOND}[pool]\n"
WANTED = "[[subscription]]\ninstruments = [1]\n"


def read(text: str) -> Config:
    return parse(text, limits=LIMITS)


def test_what_may_be_said() -> None:
    routes = 'routes = { critical = ["b", "a"], cold = ["kite"] }'
    pool = read(f'{POOL}policy = "class_route"\n{routes}\n').pool
    assert pool is not None and pool.routes is not None
    assert pool.routes.critical == ("b", "a") and pool.routes.hot == ()
    config = read(
        f'{POOL}policy = "manual"\n{WANTED}account = "b"\npriority = "hot"\n'
        f'[[subscription]]\ninstruments = [2]\ngroup = "g"\n'
    )
    assert [s.account for s in config.subscriptions] == ["b", None]
    assert check_placement(config) == []
    read(f'{POOL}policy = "weighted"\nweights = [2, 1.0]\nspread = "fill"\n')


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        ('policy = "manual"\nspread = "fill"', "pool.spread", "manual"),
        ("weights = [1]", "pool.weights", "weighted"),
        ('routes = { hot = ["a"] }', "pool.routes", "class_route"),
        (
            'policy = "class_route"\nspread = "fill"\nroutes = { hot = ["a"] }',
            "pool.routes",
            "none",
        ),
        ('policy = "class_route"\nroutes = { hot = ["c"] }', "pool.routes.hot", "a, kite, b"),
        (f'policy = "manual"\n{WANTED}', "subscription[0].account", "nothing else says where"),
        (f'{WANTED}account = "c"', "subscription[0].account", "a, b"),
    ],
)
def test_what_does_not_go_together(text: str, path: str, told: str) -> None:
    found = problems(POOL + text)
    assert {problem.path for problem in found} == {path}
    assert told in found[0].allowed


def test_each_owner_has_a_place_in_every_route() -> None:
    owners = POOL.replace('"a"\n', '"a"\nowner = "x"\n').replace('"b"\n', '"b"\nowner = "y"\n')
    text = f'[decoder]\ncount = 2\n{owners}policy = "class_route"\n'
    problem = only(f'{text}routes = {{ hot = ["a"] }}\n')
    assert problem.path == "pool.routes.hot" and "an account of y" in problem.allowed
    read(f'{text}routes = {{ hot = ["a", "b"], cold = ["kite"] }}\n')
    problem = only(f'{text}{WANTED}owner = "x"\naccount = "b"\n')
    assert problem.path == "subscription[0].account" and "one of x" in problem.allowed


def test_what_is_mirrored_is_named_in_any_form_or_by_its_class() -> None:
    forms = '["NSE:NIFTY 50", 408065, "NFO:NIFTY@fut:all", "256265"]'
    config = read(f'{POOL}mirror = {forms}\nmirror_priority = "critical"\n')
    pool = config.pool
    assert pool is not None and pool.mirror_priority == "critical"
    assert pool.mirror == ("NSE:NIFTY 50", 408065, "NFO:NIFTY@fut:all", 256265)
    assert pool.mirror_names == ("NSE:NIFTY 50", "NFO:NIFTY@fut:all") and config.has_names
    plain = read(f"{POOL}mirror = [408065, 256265]\n")
    assert plain.pool is not None and plain.pool.mirror_tokens == (408065, 256265)
    assert not plain.has_names


@pytest.mark.parametrize(
    ("text", "path", "told"),
    [
        ('mirror = "NSE:INFY"', "pool.mirror", "a list of"),
        ("mirror = [-1]", "pool.mirror", "a list of"),
        ('mirror_priority = "urgent"', "pool.mirror_priority", '"critical"'),
    ],
)
def test_a_wrong_mirror_is_refused(text: str, path: str, told: str) -> None:
    problem = only(POOL + text)
    assert problem.path == path and told in problem.allowed


def test_two_halves_need_two_connections_of_a_decoder() -> None:
    mirror = "mirror = [1]\n"
    problem = only(f"{BASE}[pool]\nconnections_per_key = 1\n{mirror}")
    assert problem.path == "pool.mirror" and "two connections for each decoder" in problem.allowed
    problem = only(f"[decoder]\ncount = 4\n{POOL}connections_per_key = 3\n{mirror}")
    assert "6 with 4 decoders" in problem.found and "[decoder] count" in problem.hint
    read(f"[decoder]\ncount = 3\n{POOL}connections_per_key = 3\n{mirror}")


@pytest.mark.parametrize("line", ['account = "a"', 'group = "g"', 'priority = "hot"'])
def test_without_a_pool_a_connection_is_named(line: str) -> None:
    problem = only(f"{BASE}{CONNECTION}{WANTED}{line}\n")
    assert problem.allowed == "nothing without [pool]"
