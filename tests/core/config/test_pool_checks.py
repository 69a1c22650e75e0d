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


@pytest.mark.parametrize("line", ['account = "a"', 'group = "g"', 'priority = "hot"'])
def test_without_a_pool_a_connection_is_named(line: str) -> None:
    problem = only(f"{BASE}{CONNECTION}{WANTED}{line}\n")
    assert problem.allowed == "nothing without [pool]"
