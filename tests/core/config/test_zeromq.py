"""The section of the ZeroMQ bridge, and the process that it becomes."""

from __future__ import annotations

import pytest

from pipeline.core.config import Config, parse
from pipeline.core.config.entries import check_entry
from tests.core.config.test_checks import BASE, CONNECTION, LIMITS, only, problems
from tests.core.config.test_owners import APART, TWO, wants
from tests.core.config.test_owners import BASE as OWNERS


def config_of(section: str) -> Config:
    return parse(f"{BASE}{CONNECTION}{section}", limits=LIMITS)


def test_without_the_section_there_is_no_bridge() -> None:
    assert config_of("").hosted == ()


def test_the_bridge_is_hosted_behind_the_strategies() -> None:
    [bridge] = config_of("[zeromq]\n").hosted
    assert bridge.label == "zeromq"
    assert bridge.params == {
        "endpoint": "tcp://127.0.0.1:5555", "owner": "default", "user": "",
        "high_water_mark": 1000,
    }  # fmt: skip


def test_its_class_takes_what_it_is_given() -> None:
    config = config_of('[zeromq]\nuser = "alice"\n')
    [bridge] = config.hosted
    assert list(check_entry(bridge, "zeromq", config.folder)) == []


@pytest.mark.parametrize("endpoint", ["127.0.0.1:5555", "tcp://host", "udp://host:1", "tcp://:1"])
def test_endpoints_are_zeromqs(endpoint: str) -> None:
    text = f'{BASE}{CONNECTION}[zeromq]\nendpoint = "{endpoint}"\n'
    assert only(text).path == "zeromq.endpoint"


def test_several_owners_need_one_named() -> None:
    base = OWNERS + TWO + APART + wants("alice") + wants("bob")
    problem = only(base + "[zeromq]\n")
    assert (problem.path, problem.found) == ("zeromq.owner", "nothing")
    assert problem.allowed.endswith("alice, bob")
    assert only(base + '[zeromq]\nowner = "carol"\n').path == "zeromq.owner"
    [bridge] = parse(base + '[zeromq]\nowner = "bob"\n', limits=LIMITS).hosted
    assert bridge.params["owner"] == "bob"


def test_no_strategy_is_called_as_the_bridge_is() -> None:
    strategy = '[[strategy]]\nname = "zeromq"\nentry = "json:JSONDecoder"\n'
    text = f"{BASE}{CONNECTION}[zeromq]\n{strategy}"
    paths = {problem.path for problem in problems(text)}
    assert "strategy[0].name" in paths
